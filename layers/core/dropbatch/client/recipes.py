"""Recipes on this machine: which one counts for a file, and the files that it names."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dropbatch.client.errors import WrongUseError
from dropbatch.domain.drops import RECIPE_NAMES
from dropbatch.domain.errors import DropRejectedError
from dropbatch.recipes.parser import parse_recipe


@dataclass(frozen=True, slots=True)
class LocalRecipe:
    """A recipe with the files that it names, as far as they exist, by their paths from the recipe's folder."""

    path: Path
    text: bytes
    files: Mapping[str, Path]

    @property
    def objects(self) -> Mapping[str, bytes]:
        """The content of each object to upload, by its path from the folder. The recipe itself is the last."""
        return {**{name: path.read_bytes() for name, path in self.files.items()}, RECIPE_NAMES[0]: self.text}


def read_local_recipe(path: Path) -> LocalRecipe:
    """Read a recipe. Whether it can be used does not matter here."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise WrongUseError(f"The recipe {path} cannot be read: {error.strerror}.") from error
    try:
        names = parse_recipe(text, RECIPE_NAMES[0]).files
    except DropRejectedError:
        names = ()  # the check of the recipe reports the problems
    files = {name: path.parent / name for name in names}
    return LocalRecipe(path, text, {name: file for name, file in files.items() if file.is_file()})


def recipe_beside_file(file: Path) -> Path | None:
    """Return the recipe that counts for a file: in its folder, or else in a folder above, up to the current one."""
    folder, here = file.resolve().parent, Path.cwd()
    for place in [folder, *folder.parents] if folder.is_relative_to(here) else [folder]:
        for name in RECIPE_NAMES:
            if (place / name).is_file():
                return place / name
        if place == here:
            break
    return None
