"""What a model reads of a row: columns decoded to cells, with what training rows alone have taught."""
