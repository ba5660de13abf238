"""From a table to a whole run: look at it, choose every setting, say why.

`choose` reads the keys and a bounded sample of a table, and turns them and what the user asked for into
settings, each with its reason; `budget` turns minutes into steps, and `explain` says it all. What the user
says wins; what a table cannot serve is refused with its numbers.

| file | decides |
|---|---|
| `keys` | which columns are time and entity |
| `columns`, `scale` | target and past columns, the target's unit |
| `rhythm`, `season` | sampling interval, gaps, the season |
| `window`, `splits` | horizon, context, patch, lag; the shares of validation and test |
| `size`, `budget` | the model, batches, memory; steps |
| `places` | where table, checkpoints and forecasts are |
"""
