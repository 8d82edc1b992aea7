"""The wall and the directions of import, held against the code."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "bsti_submit"
MODULES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}
STAGES = ("intake", "deid", "clinical", "bundle", "outbox", "transport")
RIGHT_OF_THE_WALL = ("bundle", "outbox", "transport", "report", "receipt", "audit", "attestation", "model")


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text("utf-8"))


def _typing_only(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def _imports(nodes: list[ast.stmt], package: str, *, typing: bool) -> set[str]:
    found: set[str] = set()
    for node in nodes:
        if _typing_only(node) and not typing:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parts, *([base] if base else [])])
            found.add(base)
            found |= {f"{base}.{alias.name}" for alias in node.names if f"{base}.{alias.name}" in MODULES}
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            children = getattr(node, field, None)
            if isinstance(children, list):
                found |= _imports(children, package, typing=typing)
    return found


@cache
def imports(module: str, *, typing: bool = True) -> frozenset[str]:
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    return frozenset(_imports(tree(module).body, package, typing=typing))


def ours(names: frozenset[str]) -> set[str]:
    found = set()
    for name in names:
        if name in MODULES:
            found.add(name)
    return found


@cache
def reach(module: str) -> frozenset[str]:
    """Everything a module imports, directly or through others of ours, lazily or not."""
    seen: set[str] = set()
    outside: set[str] = set()
    stack = [module]
    while stack:
        here = stack.pop()
        if here in seen:
            continue
        seen.add(here)
        names = imports(here)
        outside |= {name.partition(".")[0] for name in names if not name.startswith("bsti_submit")}
        stack.extend(ours(names))
        parent = here.rpartition(".")[0]
        if parent and parent != "bsti_submit":
            stack.append(parent)
    return frozenset(seen | outside)


def part(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def modules_of(*parts: str) -> list[str]:
    return sorted(module for module in MODULES if part(module) in parts)


@pytest.mark.parametrize("module", modules_of(*STAGES))
def test_stages_do_not_import_each_other(module):
    others = {name for name in ours(imports(module)) if part(name) in STAGES and part(name) != part(module)}
    allowed = {("transport", "outbox"), ("transport", "bundle"), ("outbox", "bundle")}
    assert {name for name in others if (part(module), part(name)) not in allowed} == set()


@pytest.mark.parametrize("module", modules_of(*RIGHT_OF_THE_WALL, "registry"))
def test_nothing_right_of_the_wall_reaches_an_identified_type_or_pydicom(module):
    reached = reach(module)
    forbidden = {"bsti_submit.phi", *modules_of("intake", "deid", "clinical", "pipeline")}
    if part(module) != "registry":
        forbidden |= {"pydicom", "deid"}
    assert reached & forbidden == set()


def test_the_registry_takes_only_data_and_the_ground_floor_from_the_client():
    allowed = {"bsti_submit", "bsti_submit.model", "bsti_submit.errors", "bsti_submit.identifiers"}
    for module in modules_of("registry"):
        if module.endswith(".__main__"):
            continue  # the registry's own terminal commands live with the others
        taken = {name for name in ours(imports(module)) if part(name) != "registry"}
        assert taken <= allowed, module


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("deid", ("bsti_submit.deid.recipe",)),
        ("httpx", ("bsti_submit.transport.http",)),
        ("pydicom", ("bsti_submit.intake", "bsti_submit.deid", "bsti_submit.registry", "bsti_submit.sample")),
        ("typer", ("bsti_submit.cli",)),
        ("tqdm", ("bsti_submit.report",)),
        ("rich", ("bsti_submit.cli", "bsti_submit.report", "bsti_submit.clinical.sources.prompt")),
        ("keyring", ("bsti_submit.credentials",)),
        ("starlette", ("bsti_submit.registry",)),
    ],
)
def test_a_library_is_imported_only_where_it_belongs(library, homes):
    for module in MODULES:
        names = {
            name.partition(".")[0]
            for node in ast.walk(tree(module))
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom) and not node.level
                else []
            )
        }
        if library in names:
            assert module.startswith(homes), f"{module} imports {library}"


def test_the_final_check_shares_no_code_with_the_engine():
    allowed = {"model", "phi", "identifiers", "errors"}
    for module in MODULES:
        if module.startswith("bsti_submit.deid.certify"):
            foreign = {
                name
                for name in ours(imports(module))
                if not name.startswith("bsti_submit.deid.certify") and part(name) not in allowed
            }
            assert foreign <= {"bsti_submit", "bsti_submit.deid"}, module


def test_only_the_final_check_mints():
    for module in MODULES:
        source = MODULES[module].read_text("utf-8")
        uses = any(
            (isinstance(node, ast.ImportFrom) and any(alias.name == "mint" for alias in node.names))
            or (isinstance(node, ast.Attribute) and node.attr == "mint")
            for node in ast.walk(ast.parse(source))
        )
        assert not uses or module.startswith("bsti_submit.deid.certify"), module


@pytest.mark.parametrize("module", sorted(MODULES))
def test_nothing_prints_or_logs_outside_the_shells(module):
    if part(module) in {"cli", "report", "registry"}:
        return
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called != "print", module
            assert not called.startswith(("logger.", "log.", "logging.info", "logging.warning", "logging.error")), (
                module
            )
            assert not called.startswith(("sys.stdout", "sys.stderr")), module


def test_values_are_revealed_only_left_of_the_wall():
    for module in MODULES:
        revealing = any(isinstance(node, ast.Attribute) and node.attr == "reveal" for node in ast.walk(tree(module)))
        if revealing:
            assert part(module) in {"intake", "deid", "clinical", "pipeline", "phi", "cli"}, module


def test_importing_the_command_line_is_light():
    heavy = ["pydicom", "numpy", "deid", "httpx", "keyring", "PIL", "cryptography", "starlette", "jsonschema"]
    code = f"import sys, bsti_submit.cli.app; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
