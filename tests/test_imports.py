"""Imports point one way: this test is the rule, so that nobody has to remember it."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "chatapp"

BASE = ("models", "errors")
UTILITIES = ("telemetry", "tasks")
STORAGE = ("storage", *BASE)
ANSWERS = ("answers", *STORAGE)
CHATS = ("chats", *ANSWERS)
EVERYTHING = ("",)

#: What may import what (itself and what is below it); the most exact name wins. "" stands for the package.
RULES: Mapping[str, tuple[str, ...]] = {
    # Wiring: the only two that know everything.
    "app": EVERYTHING,
    "cli": EVERYTHING,
    "doctor": EVERYTHING,
    "__main__": ("cli",),
    "__init__": (),
    # web -> chats -> answers -> storage -> models, errors
    "web": ("web", "rendering", *CHATS, *UTILITIES),
    "chats": (*CHATS, *UTILITIES),
    "answers": (*ANSWERS, *UTILITIES),
    "storage": (*STORAGE, *UTILITIES),
    "models": (),
    "errors": (),
    # Leaves.
    "web.sse": BASE,
    "answers.wire": BASE,
    "answers.responses": ("answers.wire", *BASE),
    "answers.failures": BASE,
    "answers.body": (),
    "answers.client": (),
    "answers.entries": BASE,
    "answers.families": (),
    "answers.options": (),
    "answers.upstream": ("answers.wire", "answers.failures", "answers.body", *BASE),
    "answers.provider": (
        "answers.client",
        "answers.upstream",
        "answers.wire",
        "answers.responses",
        "answers.failures",
        "answers.families",
        "answers.options",
        *BASE,
    ),
    "rendering": ("rendering", *BASE),
    "demo": ("demo",),
    # Around everything: imported by the wiring alone, except for the utilities.
    "settings": ("errors",),
    "lifecycle": BASE,
    "telemetry": (),
    "memory": (),
    "tasks": (),
}


def module_of(path: Path, package: Path) -> str:
    """`src/chatapp/web/api.py` -> `web.api`; a package is its `__init__`'s name."""
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def imports(path: Path, package: Path) -> Iterator[tuple[int, str]]:
    """The line and the module of every import from our own package, wherever in the file it stands."""
    here = path.relative_to(package.parent).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(here[: -node.level]) if node.level else ""
            module = ".".join(filter(None, (start, node.module)))
            # `from chatapp.web import errors` may mean a module.
            found = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in found:
            if name.partition(".")[0] == package.name:
                yield node.lineno, name.partition(".")[2]


def allowed(module: str, imported: str) -> bool:
    rule = max((name for name in RULES if within(module, name)), key=len, default=None)
    if rule is None:
        return False
    return any(within(imported, name) for name in RULES[rule])


def within(module: str, name: str) -> bool:
    return not name or module == name or module.startswith(f"{name}.")


def violations(package: Path) -> list[str]:
    return [
        f"{path.relative_to(package)}:{line} imports {imported}"
        for path in sorted(package.rglob("*.py"))
        for line, imported in imports(path, package)
        if imported != "__version__" and not allowed(module_of(path, package), imported)
    ]


def test_imports_point_one_way() -> None:
    assert violations(PACKAGE) == []


def test_every_module_has_its_rule() -> None:
    modules = [module_of(path, PACKAGE) for path in PACKAGE.rglob("*.py")]
    assert len(modules) > 30
    assert [module for module in modules if not any(within(module, name) for name in RULES)] == []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        pytest.param("answers/hub.py", "from chatapp.web.views import Pages", id="upwards"),
        pytest.param("storage/keys.py", "import chatapp.answers.hub", id="plain-import"),
        pytest.param("chats/service.py", "from chatapp.web import errors", id="module-of-a-package"),
        pytest.param("chats/service.py", "from ..web.views import Pages", id="relative"),
        pytest.param("storage/scripts/__init__.py", "from ...web import views", id="relative-from-a-package"),
        pytest.param("answers/log.py", "def f():\n    from chatapp.settings import Settings", id="inside"),
        pytest.param("web/sse.py", "from chatapp.web.views import Pages", id="leaf"),
        pytest.param("answers/provider.py", "from chatapp.storage import keys", id="provider"),
        pytest.param("rendering/text.py", "from chatapp.storage import keys", id="rendering"),
        pytest.param("demo/app.py", "from chatapp.models import Message", id="demo"),
        pytest.param("web/api.py", "from chatapp.app import create_app", id="wiring"),
        pytest.param("newcomer.py", "from chatapp.models import Message", id="no-rule"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, path: str, line: str) -> None:
    file = tmp_path / "chatapp" / path
    file.parent.mkdir(parents=True)
    file.write_text(f"{line}\n")
    [found] = violations(tmp_path / "chatapp")
    assert found.startswith(f"{path}:")


def test_what_is_right_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "chatapp" / "web" / "api.py"
    file.parent.mkdir(parents=True)
    file.write_text("import os\nfrom chatapp.chats.service import Chats\nfrom chatapp.models import Chat\n")
    assert violations(tmp_path / "chatapp") == []
