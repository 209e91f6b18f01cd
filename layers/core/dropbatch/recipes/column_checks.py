"""The checks of a recipe's columns: those that a drop lacks or has twice, and a recipe that uses none."""

from collections.abc import Collection, Mapping, Sequence

from dropbatch.domain.outcomes import COLUMN_EXISTS
from dropbatch.domain.problems import Problem
from dropbatch.recipes import placeholders
from dropbatch.recipes.file_values import FileValues
from dropbatch.recipes.keys import Recipe
from dropbatch.recipes.quoted_names import listed, quoted
from dropbatch.recipes.recipe_problems import problem_at
from dropbatch.recipes.reserved_names import ROW
from dropbatch.recipes.similar_names import nearest
from dropbatch.recipes.slots import Slot
from dropbatch.recipes.snippets import bare, file_expression, fit_quotes, literal, placeholder, yaml_text
from dropbatch.recipes.suggestions import suggest_column


def column_problems(
    recipe: Recipe,
    slots: Sequence[Slot],
    added: Collection[str],
    placeholder_problems: Mapping[str, Problem],
    names: Sequence[str],
    file: FileValues | None,
) -> list[Problem]:
    """Return the problems of a recipe, usable or not, with a drop whose rows have the columns `names`."""
    known = set(names)
    problems = [
        problem_at(
            slot.path,
            slot.line,
            "undefined_name",
            slot.key,
            f"there is no column {quoted(name)!r}; {suggest_column(name, names, file, slot.quote)}",
        )
        for slot in slots
        for name in slot.template.names
        if name not in known
    ]
    label = recipe.id
    if label is not None and label not in known:
        sentence = f"there is no column {quoted(label)!r}; the columns are {listed(names)}."
        problems.append(recipe.problem("undefined_name", "id", sentence))
    problems += [column_exists(name) for name in names if name in added]
    return problems + [placeholder_problems[name] for name in names if name in placeholder_problems]


def expect_problems(recipe: Recipe, expected: Mapping[str, str], names: Sequence[str]) -> list[Problem]:
    """Return the problems of a recipe whose columns of known answers, `expected`, a drop lacks."""
    known = set(names)
    return [
        recipe.problem(
            "undefined_name",
            "expect",
            f"there is no column {quoted(label)!r} with known answers; {suggest_name(label, names)}",
        )
        for label in dict.fromkeys(expected.values())
        if label not in known
    ]


def suggest_name(name: str, names: Sequence[str]) -> str:
    """Return advice on the right name of a column, where a recipe names it outside of a template."""
    like = nearest(name, names)
    return f"did you mean {quoted(like)}?" if like else f"the columns are {listed(names)}."


def column_exists(name: str) -> Problem:
    """Return the problem that a drop has a column already which the answers would add."""
    sentence = (
        f"The drop has a column {quoted(name)!r} already, which the answers would add; set prefix in the recipe, "
        'as in prefix: "ai_", or rename the column.'
    )
    return Problem(COLUMN_EXISTS, sentence, column=name)


def missing_file_value(slot: Slot, name: str, file: FileValues | None) -> Problem:
    """Return the problem that the dropped file lacks a value that a template uses."""
    known = file.values if file is not None else {}
    like = nearest(name, known)
    named = listed(file_expression(each) for each in known)
    written = fit_quotes(f"{{{{ {file_expression(like)} }}}}", slot.quote) if like else ""
    advice = f"did you mean {written}?" if like else f"there are {named}."
    sentence = (
        f"there is no {file_expression(quoted(name, 60))}: no folder of the file's path is named "
        f"{quoted(name, 60)}=…; {advice}"
    )
    return problem_at(slot.path, slot.line, "undefined_name", slot.key, sentence)


def no_column_problem(recipe: Recipe, slots: Sequence[Slot], columns: Sequence[str]) -> Problem:
    """Return the problem that the question in these slots uses no column; `columns` are a drop's, if known."""
    spotted = [(slot, found) for slot in slots for found in placeholders.spot(slot.template.around)]
    known = [each for each in spotted if each[1].name in columns]
    if spotted:
        slot, found = (known or spotted)[0]
        advice = _placeholder_advice(found, slot.quote, columns, is_column=bool(known))
        return problem_at(slot.path, slot.line, "no_column", slot.key, f"{_ALL_THE_SAME}; {advice}")
    question = next((slot for slot in slots if slot.key == "prompt"), slots[-1] if slots else None)
    column = next((name for name in columns if 0 < len(name) <= 60), "text")
    example = yaml_text(f"Label this: {bare(column)}")
    name = question.name if question is not None else "content"
    sentence = f"{_ALL_THE_SAME}; write one into it, as in {name}: {example}{_listed_columns(columns)}."
    if question is None:
        return recipe.problem("no_column", "body", sentence)
    return problem_at(question.path, question.line, "no_column", question.key, sentence)


_ALL_THE_SAME = "no column of the rows is used, so that all of them would be asked the same"


def _listed_columns(columns: Sequence[str]) -> str:
    return f"; the columns are {listed(columns)}" if columns else ""


def _placeholder_advice(found: placeholders.Placeholder, quote: str, columns: Sequence[str], *, is_column: bool) -> str:
    written = f"{quoted(found.written, 60)} stands for nothing here"
    if found.name == ROW and not is_column:
        return f"{written}; write {{{{ row }}}}, the whole row{_listed_columns(columns)}."
    if columns and not is_column:
        return f"{written}; {suggest_column(found.name, columns, quote=quote)}"
    return f"{written}; write {placeholder(found.name, quote)}{_listed_columns(columns)}."


def placeholder_problems(slots: Sequence[Slot], question: Sequence[Slot]) -> dict[str, Problem]:
    """Return the problems with another language's placeholders, each by the column that makes it one.

    `slots` are the recipe's, `question` those of them that hold what is asked.
    """
    used = {column for slot in slots for column in slot.template.columns}
    problems: dict[str, Problem] = {}
    for slot in question:
        text = slot.template.around
        for name, found in (placeholders.unused(text, used) | placeholders.sure(text)).items():
            literally = fit_quotes(f"{{{{ {literal(found.written)} }}}}", slot.quote)
            sentence = (
                f"{found.written} is sent unchanged, although the drop has this column; write "
                f"{placeholder(name, slot.quote)}, or, if the sign itself is meant, {literally}."
            )
            problems.setdefault(name, problem_at(slot.path, slot.line, "placeholder", slot.key, sentence))
    return problems
