"""Parts of a report as Plotly figures: plain JSON, which the page draws. Nothing to draw: no figure."""
