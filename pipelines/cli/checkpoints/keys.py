"""`carousel checkpoints rekey`: let another key open an encrypted repository, and shut the old ones out."""

import typer

from pipelines.cli.app import DEFAULT_CONFIG, Assignments, ConfigPath, settings, storage_config
from pipelines.display.terminal import console

NEW_KEY = "CAROUSEL_REPOSITORY_NEW_KEY"


def rekey(context: typer.Context, config: ConfigPath = DEFAULT_CONFIG, assign: Assignments = None) -> None:
    """Let only a new key open an encrypted repository; nothing that is stored changes.

    The key comes from CAROUSEL_REPOSITORY_KEY (or CAROUSEL_REPOSITORY_KEY_FILE), the new one from
    CAROUSEL_REPOSITORY_NEW_KEY: 64 hex digits (openssl rand -hex 32), or a passphrase.

    Who had the old key may have kept the data key: what must be hidden from them belongs in a new repository.
    """
    import os

    from pipelines.surroundings.session import connected
    from storage.checkpoints import OuterKey, WrongKey

    key, text = OuterKey.from_environment(), os.environ.get(NEW_KEY)
    if key is None or not text:
        raise WrongKey(f"set CAROUSEL_REPOSITORY_KEY to the key of today, and {NEW_KEY} to the new one")
    with connected(storage_config(config, assign), settings(context).root) as connection:
        gone = connection.existing_repository().rotate_key(key, OuterKey.of(text))
    console().print(f"only the new key opens the repository from now on; {gone} keys were shut out")
