"""Windows of tables, LSTM models, tasks and distributed training. Knows no Prefect."""
