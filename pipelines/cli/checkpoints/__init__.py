"""`carousel checkpoints`: look at a repository, keep it healthy and small."""

import typer

from pipelines.cli.checkpoints import copy, files, health, keys, look, marks, repack, repair, tidy

commands = typer.Typer(
    help="Checkpoints of the repository: look at them, mark them, check them, drop them.",
    no_args_is_help=True,
)
for name, function, example in (
    ("list", look.list_, "list flights"),
    ("show", look.show, "show flights/newest --json"),
    ("diff", look.diff, "diff flights/start flights/newest"),
    ("stats", health.stats, "stats --json"),
    ("verify", health.verify, "verify flights --read-data"),
    ("repair", repair.repair, "repair flights --dry-run"),
    ("tag", marks.tag, "tag flights/newest released"),
    ("untag", marks.untag, "untag flights released"),
    ("pin", marks.pin, 'pin flights/3f2a91c0 --for "the model in production"'),
    ("unpin", marks.unpin, 'unpin flights/3f2a91c0 --for "the model in production"'),
    ("note", marks.note, 'note flights/newest "before the new sensors"'),
    ("prune", tidy.prune, "prune flights --keep-last 3 --keep-every 1000 --dry-run"),
    ("repack", repack.repack, "repack flights --dry-run"),
    ("gc", tidy.gc, "gc --dry-run"),
    ("copy", copy.copy, "copy flights --to s3://archive/checkpoints"),
    ("restore", files.restore, "restore flights/newest --into flights-newest"),
    ("export", files.export, "export flights/best flights.safetensors"),
    ("import", files.import_, 'import pretrained.safetensors --run pretrained --note "from the hub"'),
    ("rekey", keys.rekey, "rekey"),
):
    commands.command(name, epilog=f"Example: carousel checkpoints {example}")(function)
