"""Pieces of a module's syntax tree, made and tidied."""

from __future__ import annotations

import ast
import inspect
from typing import Any


def tidy(node: ast.ClassDef, classes: set[str]) -> None:
    """Move docstrings of fields into `Field(description=…)`, make defaults what they say they are, and drop what
    only the generator needed."""
    body: list[ast.stmt] = []
    for index, statement in enumerate(node.body):
        if is_docstring(statement):
            assert isinstance(statement, ast.Expr)
            assert isinstance(statement.value, ast.Constant)
            text = inspect.cleandoc(str(statement.value.value))
            if index == 0:
                body.append(docstring(text, 1))
            elif isinstance(body[-1], ast.AnnAssign) and ast.unparse(body[-1].target) != "root":
                body[-1].annotation = with_description(body[-1].annotation, text)
        elif isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "model_config":
            assert isinstance(statement.value, ast.Call)
            statement.value.keywords = [
                each for each in statement.value.keywords if each.arg != "arbitrary_types_allowed"
            ]
            if statement.value.keywords:
                body.append(statement)
        else:
            if isinstance(statement, ast.AnnAssign):
                _make_default(statement, classes)
            body.append(statement)
    node.body = body or [ast.Pass()]


def _make_default(statement: ast.AnnAssign, classes: set[str]) -> None:
    """Make a model of a default that is written as a dict, alone or in a list, where one model only may be meant."""
    made = {part.id for part in ast.walk(statement.annotation) if isinstance(part, ast.Name)} & classes
    if len(made) != 1 or "dict[" in ast.unparse(statement.annotation):
        return
    validate = ast.Attribute(ast.Name(made.pop()), "model_validate")

    def model_of(value: ast.expr) -> ast.expr:
        return ast.Call(func=validate, args=[value], keywords=[]) if isinstance(value, ast.Dict) else value

    if isinstance(statement.value, ast.List):
        statement.value.elts = [model_of(value) for value in statement.value.elts]
    elif statement.value is not None:
        statement.value = model_of(statement.value)


def with_description(annotation: ast.expr, text: str) -> ast.expr:
    described = ast.keyword("description", ast.Constant(text))
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Annotated":
        for part in ast.walk(annotation.slice):
            if isinstance(part, ast.Call) and ast.unparse(part.func) == "Field":
                part.keywords.append(described)
                return annotation
    call = ast.Call(func=ast.Name("Field"), args=[], keywords=[described])
    return ast.Subscript(ast.Name("Annotated"), ast.Tuple([annotation, call]))


def is_docstring(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def docstring(text: str, depth: int) -> ast.Expr:
    indent = "    " * depth
    lines = text.strip().split("\n")
    written = "\n".join([lines[0], *(f"{indent}{line}".rstrip() for line in lines[1:])])
    return ast.Expr(ast.Constant(f"{written}\n{indent}" if len(lines) > 1 else written))


def literal(value: Any) -> ast.expr:
    if isinstance(value, set):
        return ast.Set([literal(each) for each in sorted(value)])
    return ast.parse(repr(value), mode="eval").body
