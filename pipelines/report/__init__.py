"""A run's report: one HTML page that needs nothing else, in the bucket and on disk.

`gather` collects figures from the repository, the training's events, the plan, the snapshot and an evaluation
into a `Report` of plain values; `figures` turns parts of it into Plotly figures; `page` sets the page;
`publish` puts it where people look.

A part that cannot be had (the snapshot has been vacuumed, there are no test windows) is `Missing` with its
reason, and the page says so in its place: a report is made of every run that has a commit.
"""
