"""Options that several commands have, and the stack that they name."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dropbatch import client

if TYPE_CHECKING:
    from dropbatch.client.recipes import LocalRecipe

StackName = Annotated[
    str | None, typer.Option("--stack", help="The stack. By default DROPBATCH_STACK, or the only one there is.")
]
Region = Annotated[str | None, typer.Option("--region", help="The AWS region. By default the one that boto3 finds.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Key = Annotated[str, typer.Argument(metavar="KEY", help="The key of a file in the inbox, such as reviews/reviews.csv.")]
KeyOrFolder = Annotated[
    str, typer.Argument(metavar="KEY", help="The key of a file in the inbox, or a folder, which ends in a slash.")
]
LocalFile = Annotated[Path, typer.Argument(metavar="FILE", help="A file of rows on this machine.")]
RecipeFile = Annotated[
    Path | None,
    typer.Option("--recipe", metavar="RECIPE", help="The recipe. By default the recipe.yaml beside the file."),
]
To = Annotated[
    str | None,
    typer.Option("--to", metavar="FOLDER", help="The folder of the inbox. By default the file's name without endings."),
]
RunNumber = Annotated[
    str | None, typer.Option("--run", metavar="RUN", help="The number or job id of a run. By default the newest run.")
]


def find_stack(name: str | None, region: str | None) -> "client.Stack":
    """Return the stack that the options name."""
    return client.Stack.find(name, region=region)


def find_recipe(file: Path, named: Path | None) -> "LocalRecipe | None":
    """Return the recipe that an option names, or the one beside a file; None if there is none."""
    from dropbatch.client.recipes import read_local_recipe, recipe_beside_file

    path = named or recipe_beside_file(file)
    return None if path is None else read_local_recipe(path)
