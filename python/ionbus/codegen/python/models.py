"""The classes of a contract's schemas, as datamodel-code-generator makes them, with our own types in the places left for them."""

from __future__ import annotations

import ast
import json
import warnings
from dataclasses import dataclass, field

from ionbus.codegen.model import CodegenError
from ionbus.contract.schema import JsonSchema

HOLDER = "IonbusPayloads"
PLACES = "ionbus_places"


@dataclass
class Places:
    """Types that are written into the generator's output where it left a place for them."""

    expressions: dict[str, str] = field(default_factory=dict)
    ionbus_types: set[str] = field(default_factory=set)

    def put(self, expression: str) -> str:
        if expression.isidentifier():
            self.ionbus_types.add(expression)
        for name, other in self.expressions.items():
            if other == expression:
                return name
        name = f"Place{len(self.expressions)}"
        self.expressions[name] = expression
        return name


class Fill(ast.NodeTransformer):
    def __init__(self, places: dict[str, str]) -> None:
        self._places = places

    def visit_Name(self, node: ast.Name) -> ast.expr:
        name = node.id.removeprefix(f"{PLACES}_")
        if name not in self._places:
            return node
        filled: ast.expr = self.visit(ast.parse(self._places[name], mode="eval").body)
        return filled


def without_unnamed_roots(tree: ast.Module, named: set[str]) -> ast.Module:
    """Write out what the generator made a root model of for its own sake, as of a constrained option of a union."""
    roots: dict[str, str] = {}
    for node in list(tree.body):
        if not isinstance(node, ast.ClassDef) or node.name in named or node.name == HOLDER:
            continue
        for statement in node.body:
            if isinstance(statement, ast.AnnAssign) and ast.unparse(statement.target) == "root":
                roots[node.name] = ast.unparse(statement.annotation)
                tree.body.remove(node)
    tree.body = [node for node in tree.body if not (isinstance(node, ast.Expr) and calls_on(node) in roots)]
    written: ast.Module = Fill(roots).visit(tree)
    return written


def generate(schema: JsonSchema, contract: str) -> str:
    try:
        from datamodel_code_generator import InputFileType, PythonVersion, generate  # noqa: PLC0415 - an extra
        from datamodel_code_generator.enums import DataModelType  # noqa: PLC0415
        from datamodel_code_generator.format import DatetimeClassType, Formatter  # noqa: PLC0415
    except ImportError as error:
        raise CodegenError(
            f"{contract}: Python from a file needs datamodel-code-generator: pip install 'ionbus[codegen]'"
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about formats, which pydantic takes for text as we do
            made = generate(
                json.dumps(schema),
                input_file_type=InputFileType.JsonSchema,
                output_model_type=DataModelType.PydanticV2BaseModel,
                target_python_version=PythonVersion.PY_311,
                class_name=HOLDER,
                output_datetime_class=DatetimeClassType.Datetime,
                formatters=[Formatter.BUILTIN],
                strict_nullable=True,
                use_annotated=True,
                field_constraints=True,
                use_schema_description=True,
                use_field_description=True,
                use_standard_collections=True,
                use_union_operator=True,
                use_unique_items_as_set=True,
                set_default_enum_member=True,
                capitalise_enum_members=True,
                allow_remote_refs=False,
                disable_timestamp=True,
            )
    except Exception as error:  # whatever it raises: it looks at schemas before it checks them
        raise CodegenError(
            f"{contract}: datamodel-code-generator cannot read its schemas: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(made, str):
        raise CodegenError(f"{contract}: datamodel-code-generator made no module of its schemas")
    return made


def calls_on(node: ast.Expr) -> str:
    """The class whose method a statement calls, as in `Tree.model_rebuild()`."""
    return ast.unparse(node.value).partition(".")[0]
