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
CERTIFY = "bsti_submit.deid.certify"
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
def test_no_stage_reaches_another(module):
    # Right of the wall the order is fixed: what is sent comes out of the outbox, which keeps sealed packages.
    allowed = {"transport": {"outbox", "bundle"}, "outbox": {"bundle"}}.get(part(module), set())
    foreign = set(STAGES) - {part(module)} - allowed
    assert {name for name in reach(module) if part(name) in foreign} == set()


def test_only_the_shell_and_the_pipeline_put_stages_together():
    for module in MODULES:
        stages = {part(name) for name in ours(imports(module)) if part(name) in STAGES} - {part(module)}
        if part(module) not in {"cli", "pipeline", *STAGES}:
            assert len(stages) <= 1, f"{module} puts {sorted(stages)} together"


def test_nothing_below_imports_the_shell():
    doors = {"bsti_submit.__main__", "bsti_submit.registry.__main__"}
    for module in set(MODULES) - doors:
        if part(module) != "cli":
            assert not {name for name in reach(module) if part(name) == "cli"}, module
        if part(module) not in {"cli", "pipeline"}:
            assert not {name for name in reach(module) if part(name) == "pipeline"}, module


def test_no_module_imports_itself_through_others():
    """Imports for type checkers alone do not count: they tie no code together when it runs."""
    left = {module: ours(imports(module, typing=False)) - {module} for module in MODULES}
    while free := {module for module, names in left.items() if not names & left.keys()}:
        left = {module: names for module, names in left.items() if module not in free}
    assert sorted(left) == []


@pytest.mark.parametrize("module", modules_of(*RIGHT_OF_THE_WALL, "registry"))
def test_nothing_right_of_the_wall_reaches_an_identified_type_or_pydicom(module):
    reached = reach(module)
    forbidden = {"bsti_submit.phi", *modules_of("intake", "deid", "clinical", "pipeline")}
    if part(module) != "registry":
        forbidden |= {"pydicom", "deid"}
    assert reached & forbidden == set()


def test_the_registry_takes_only_data_and_the_ground_floor_from_the_client():
    for module in modules_of("registry"):
        if module.endswith(".__main__"):
            continue  # the registry's own terminal commands live with the others
        taken = {part(name) for name in reach(module) if name in MODULES} - {""}
        assert taken <= {"registry", "model", "errors", "identifiers"}, module


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
    allowed = {"bsti_submit.deid", *modules_of("model", "phi", "identifiers", "errors")}
    for module in MODULES:
        if module.startswith(CERTIFY):
            foreign = {name for name in reach(module) if name in MODULES and not name.startswith(CERTIFY)}
            assert foreign <= allowed, module
    assert not {name for name in reach("bsti_submit.deid.engine") if name.startswith(CERTIFY)}


def test_only_the_final_check_mints():
    for module in MODULES:
        uses = any(
            (isinstance(node, ast.ImportFrom) and any(alias.name == "mint" for alias in node.names))
            or (isinstance(node, ast.Attribute) and node.attr == "mint")
            for node in ast.walk(tree(module))
        )
        assert not uses or module.startswith(CERTIFY), module


TELLING = {
    "print",
    "pprint",
    "sys.stdout",
    "sys.stderr",
    "sys.__stdout__",
    "sys.__stderr__",
    "warnings.warn",
    "os.write",
}
SHELLS = {"cli", "report", "registry"}


@pytest.mark.parametrize("module", sorted(name for name in MODULES if part(name) not in SHELLS))
def test_nothing_prints_or_logs_outside_the_shells(module):
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Name | ast.Attribute):
            assert ast.unparse(node) not in TELLING, f"{module}:{node.lineno}"
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert not called.startswith(("traceback.print", "traceback.format")), f"{module}:{node.lineno}"
    names = {name.partition(".")[0] for name in imports(module)}
    assert not names & {"logging", "traceback", "pprint", "syslog"} - MUTES.get(module, set())


MUTES = {"bsti_submit.transport.http": {"logging"}}
"""Who may name `logging` all the same: to silence a library that logs addresses."""


def test_logging_is_named_only_to_silence_it():
    for module in MUTES:
        called = {
            ast.unparse(node.func)
            for node in ast.walk(tree(module))
            if isinstance(node, ast.Call) and "logg" in ast.unparse(node.func)
        }
        assert called == {"logging.getLogger", "logging.getLogger(name).setLevel"}


def test_imports_are_statements_that_these_tests_can_see():
    for module in MODULES:
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in {"__import__", "importlib.import_module", "import_module"}, module


def test_the_shell_alone_builds_what_has_a_place_on_disk_or_in_the_network():
    builders = {"Outbox", "DecisionStore", "Connection", "RegistryDestination", "DirDestination"}
    homes = {"bsti_submit.cli.wiring", "bsti_submit.cli.demonstration"}
    for module in MODULES:
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in builders:
                assert module in homes, f"{module}:{node.lineno}"


def test_values_are_revealed_only_left_of_the_wall():
    for module in MODULES:
        revealing = any(isinstance(node, ast.Attribute) and node.attr == "reveal" for node in ast.walk(tree(module)))
        if revealing:
            assert part(module) in {"intake", "deid", "clinical", "pipeline", "phi", "cli"}, module


HEAVY = ("pydicom", "numpy", "deid", "httpx", "keyring", "PIL", "cryptography", "starlette", "uvicorn", "jsonschema")
HEAVY += ("onnxruntime", "cv2", "rapidocr")


@pytest.mark.parametrize(
    "arguments", [[], ["--help"], ["--version"], ["case", "--help"], ["registry", "serve", "--help"]]
)
def test_the_command_line_starts_light(arguments):
    """In a fresh interpreter: importing the application, and every way of asking it for help."""
    code = f"""
import sys
from bsti_submit.cli.app import app
if {arguments!r}:
    try:
        app({arguments!r})
    except SystemExit as ended:
        assert not ended.code
print("LOADED", [name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED []"
