"""Runs a module with an ionbus that has not one line that could count: `python -m benchmarks.bare MODULE ARGUMENT…`.

What runs only where there is a meter is taken out of the modules of ionbus before they are compiled.
"""

import ast
import runpy
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

METERS = frozenset({"meter", "_meter", "_metered", "counted", "timing"})
"""What stands for a meter in the broker's modules, each of them None where nothing is counted."""


class WithoutMeters(ast.NodeTransformer):
    """Takes out what runs only where there is a meter."""

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        return node.orelse or ast.Pass() if _compares(node.test, ast.IsNot) else node

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        return node.body if _compares(node.test, ast.Is) else node


def _compares(test: ast.expr, by: type[ast.cmpop]) -> bool:
    if not (isinstance(test, ast.Compare) and isinstance(test.ops[0], by)):
        return False
    asked = test.left
    name = asked.attr if isinstance(asked, ast.Attribute) else asked.id if isinstance(asked, ast.Name) else ""
    return name in METERS


class Bare(SourceFileLoader):
    """Loads a module without its meters, and keeps nothing of it."""

    def get_code(self, fullname: str) -> CodeType:
        tree = WithoutMeters().visit(ast.parse(self.get_data(self.path)))
        code: CodeType = compile(ast.fix_missing_locations(tree), self.path, "exec")
        return code


class BareIonbus(MetaPathFinder):
    """Finds the modules of ionbus, for `Bare` to load."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != "ionbus":
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = Bare(spec.loader.name, spec.loader.path)
        return spec


if __name__ == "__main__":
    sys.meta_path.insert(0, BareIonbus())
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
