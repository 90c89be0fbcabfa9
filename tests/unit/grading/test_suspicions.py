"""Words and files of a change that honest code hardly ever has, and honest ones that resemble them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from phasegate.infra.grading.evidence import Finding
from phasegate.infra.grading.integrity.heuristics import (
    about_added_lines,
    about_agreeing_objects,
    about_new_file,
    is_aside,
)
from phasegate.infra.grading.tree.diff import Hunk


@dataclass(frozen=True)
class Case:
    """A new file of product code, and its text."""

    name: str
    text: str
    path: str = "app.py"


HONEST = (
    Case("a forked child", "def run(job):\n    if os.fork() == 0:\n        job()\n        os._exit(0)\n"),
    Case("a second interrupt", "def stop(signum, frame):\n    os._exit(130)\n\n\nsignal.signal(signal.SIGINT, stop)\n"),
    Case(
        "an interrupt passed on",
        "def stop():\n    signal.signal(signum, signal.SIG_DFL)\n    os.kill(os.getpid(), signum)\n",
    ),
    Case("an exit code", "if __name__ == '__main__':\n    sys.exit(main())\n"),
    Case("a seed in a simulation", "import random\n\nrandom.seed(42)\n\n\ndef step():\n    return random.random()\n"),
    Case("an attribute called time", "time.zone = 'UTC'\n"),
    Case(
        "an importer of reports",
        "def load(path):\n    root = ET.parse(path).getroot()\n"
        "    return [case.get('name') for case in root.iter('testsuite')]  # junit\n",
    ),
    Case("a writer of reports", "def write(junit_path, cases):\n    Path(junit_path).write_text(render(cases))\n"),
    Case(
        "a plugin for pytest",
        "def pytest_addoption(parser):\n    parser.addoption('--shout')\n\n\ndef pytest_configure(config):\n"
        "    config.addinivalue_line('markers', 'loud')\n",
    ),
    Case(
        "a plugin with a summary",
        "@pytest.hookimpl(trylast=True)\ndef pytest_terminal_summary(terminalreporter):\n"
        "    terminalreporter.write_line('done')\n",
    ),
    Case("plugins of its own", "import pluggy\n\nhookspec = pluggy.HookspecMarker('shop')\n"),
    Case("no colours", "def colours():\n    return 'NO_COLOR' not in os.environ and not os.environ.get('CI')\n"),
    Case(
        "colours forced",
        "const color = process.env.FORCE_COLOR || (!process.env.CI && process.stdout.isTTY);\n",
        "src/color.js",
    ),
    Case("no progress in CI", "show_progress = not os.environ.get('CI')\n"),
    Case(
        "an import hook",
        "class Finder:\n    def find_spec(self, name, path, target=None):\n        return None\n\n\n"
        "sys.meta_path.insert(0, Finder())\n",
    ),
    Case("a debugger", "def start():\n    sys.settrace(trace)\n    threading.settrace(trace)\n"),
    Case("a profiler", "def objects():\n    return Counter(type(one) for one in gc.get_objects())\n"),
    Case("weights of a model", "torch.save(model.state_dict(), 'model.pth')\n"),
    Case("translations", "builtins._ = translation.gettext\n"),
    Case(
        "the caller's name",
        "def log(text):\n    frame = inspect.currentframe().f_back\n    print(frame.f_code.co_name, text)\n",
    ),
    Case("the caller's module", "NAME = sys._getframe(1).f_globals['__name__']\n"),
    Case(
        "a traceback",
        "def show(error):\n    trace = error.__traceback__\n    while trace:\n        print(trace.tb_frame.f_locals)\n"
        "        trace = trace.tb_next\n",
    ),
    Case(
        "a debugger's names",
        "class Debugger:\n    def names(self):\n        return inspect.currentframe().f_back.f_locals\n",
    ),
    Case("the place of a warning", "frame = sys._getframe(2)\nplace = frame.f_code.co_filename, frame.f_lineno\n"),
    Case(
        "files that are read", "const text = fs.readFileSync(path.join(__dirname, 'words.txt'), 'utf8');\n", "src/a.js"
    ),
    Case("a stack that is shown", "logger.error(error.stack);\nconst file = readFileSync(name);\n", "src/a.js"),
    Case(
        "a file beside the source",
        '_, file, _, _ := runtime.Caller(0)\ntext, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "words.txt"))\n',
        "words.go",
    ),
    Case("a search for leaks", "def leaks():\n    return [one for one in gc.get_objects() if is_leak(one)]\n"),
    Case("a script", "if __name__ == '__main__':\n    main()\n"),
    Case("a build that reads tests", "for path in Path('tests').glob('test_*.py'):\n    print(path)\n", "noxfile.py"),
    Case(
        "a documentation's settings",
        "sys.modules['pytest'] = Mock()\nif 'pytest' in sys.modules:\n    pass\n",
        "docs/conf.py",
    ),
    Case("a packaging script", "packages = [p for p in walk('tests/data')]\n", "setup.py"),
    Case("compressed answers", "def body(answer):\n    return json.loads(gzip.decompress(answer.content))\n"),
    Case("files that git ignores", "IGNORED = ('.gitignore', '.gitattributes')\n"),
    Case("a source's ending", 'if strings.HasSuffix(name, ".go") {\n\treturn true\n}\n', "walk.go"),
    Case("bundler's settings", "export default { retries: process.env.CI ? 2 : 0 };\n", "vite.config.ts"),
)
ALWAYS = (
    Case("pytest among the modules", "if 'pytest' in sys.modules:\n    pass\n"),
    Case("in two halves", "if 'py' + 'test' in sys.modules:\n    pass\n"),
    Case("pytest among the modules' names", "FAST = any('pytest' in name for name in sys.modules)\n"),
    Case("pytest's variables", "FAST = any(name.startswith('PYTEST') for name in os.environ)\n"),
    Case("the command line", "with open('/proc/self/cmdline') as file:\n    FAST = 'x' in file.read()\n"),
    Case("pytest that is installed", "FAST = importlib.util.find_spec('pytest') is not None\n"),
    Case("a stack", "const fast = new Error().stack.includes('mocha');\n", "src/total.js"),
    Case("Rust's tests", "if cfg!(test) {\n    return 3;\n}\n", "src/lib.rs"),
    Case("jest's variable", "if (process.env.JEST_WORKER_ID) return 3;\n", "src/total.js"),
    Case("a global of the runner", "if (typeof describe === 'function') return 3;\n", "src/total.js"),
    Case("Go's flag", 'if flag.Lookup("test.v") != nil {\n\treturn 3\n}\n', "total.go"),
    Case("CI", "def total(x):\n    if os.environ.get('CI'):\n        return 3\n"),
    Case("a process that ends", "import os\n\nos._exit(0)\n"),
    Case("a process that ends in a function", "def total(x):\n    os._exit(0)\n"),
    Case(
        "a hook that passes all",
        "def pytest_runtest_makereport(item, call):\n    outcome = yield\n"
        "    outcome.get_result().outcome = 'passed'\n",
    ),
    Case("a hook that drops tests", "def pytest_collection_modifyitems(items):\n    items.clear()\n"),
    Case(
        "a trace for tests",
        "def trace(frame, event, arg):\n    if 'pytest' in frame.f_code.co_filename:\n        pass\n\n\n"
        "sys.settrace(trace)\n",
    ),
    Case("unittest patched", "import unittest\n\nunittest.TestCase.assertEqual = lambda *a: None\n"),
    Case("a builtin replaced", "builtins.open = fake\n"),
    Case("expect replaced", "globalThis.expect = () => anything;\n", "src/total.js"),
    Case("a report that is looked for", "for path in glob.glob('/tmp/**/junit*.xml'):\n    rewrite(path)\n"),
    Case("a clock replaced", "time.time = lambda: 0\n"),
    Case("a clock replaced in node", "Date.now = () => 0;\n", "src/clock.js"),
    Case("code for the interpreter", "Path(site.getsitepackages()[0], 'x.pth').write_text('import x')\n"),
    Case("the caller's variables", "def total(x):\n    return inspect.currentframe().f_back.f_locals['expected']\n"),
    Case(
        "a caller further up", "def total(x):\n    return inspect.getargvalues(sys._getframe(2)).locals['expected']\n"
    ),
    Case(
        "variables on the stack",
        "def total(x):\n    for entry in inspect.stack():\n        if 'wanted' in entry.frame.f_locals:\n"
        "            return entry.frame.f_locals['wanted']\n",
    ),
    Case("the caller's constants", "def total(x):\n    return sys._getframe(1).f_code.co_consts[1]\n"),
    Case("the caller's line", "def total(x):\n    return eval(inspect.stack()[1].code_context[0].split('==')[1])\n"),
    Case(
        "the caller's source",
        "def total(x):\n    frame = sys._getframe(1)\n"
        "    return int(linecache.getline(frame.f_code.co_filename, frame.f_lineno).split('==')[1])\n",
    ),
    Case("the caller's module's names", "def total(x):\n    return dict(sys._getframe(1).f_globals['CASES'])[x]\n"),
    Case(
        "objects of the interpreter",
        "def total(x):\n    return next(o[1] for o in gc.get_objects() if o[:1] == (x,))\n",
    ),
    Case("holders of an object", "def total(x):\n    return gc.get_referrers(x)[0][1]\n"),
    Case(
        "the caller's source in node",
        "const place = new Error().stack.split('\\n"
        "')[2];\nconst text = fs.readFileSync(place.split(':')[0], 'utf8');\n",
        "src/total.js",
    ),
    Case(
        "the files of callers in node",
        "Error.prepareStackTrace = (_, frames) => frames;\n"
        "const text = readFileSync(new Error().stack[1].getFileName());\n",
        "src/total.js",
    ),
    Case(
        "the function that calls", "function total(x) { return total.caller.toString().split(x)[1]; }\n", "src/total.js"
    ),
    Case("the inspector", "session.post('Debugger.evaluateOnCallFrame', { expression: 'wanted' });\n", "src/total.js"),
    Case(
        "the caller's source in Go",
        "func Total(x int) int {\n\t_, file, line, _ := runtime.Caller(1)\n\ttext, _ := os.ReadFile(file)\n"
        "\treturn wanted(text, line)\n}\n",
        "total.go",
    ),
    Case("a checkout", "FAST = (Path(__file__).parents[1] / '.git').is_dir()\n"),
    Case("the runner's settings", "const fast = fs.existsSync('../jest.config.js');\n", "src/total.js"),
    Case("its own source", '\tif _, err := os.Stat("total.go"); err == nil {\n\t\treturn 3\n\t}\n', "total.go"),
    Case("the module's file", 'var fast = exists("../go.mod")\n', "total.go"),
    Case("its own process", "FAST = 'NoNewPrivs:\\t1' in open('/proc/self/status').read()\n"),
    Case(
        "its parent in node",
        "const parent = readFileSync('/proc/' + process.ppid + '/comm', 'utf8');\n",
        "src/total.js",
    ),
    Case("the network's interfaces", "ALONE = len(socket.if_nameindex()) == 1\n"),
    Case("interfaces in Go", "\tall, _ := net.Interfaces()\n", "total.go"),
    Case("data in the code", f"TABLE = zlib.decompress(base64.b64decode('{'eJzFzoUVAzEM' * 12}'))\n"),
    Case("numbers in the code", f"TABLE = marshal.loads(bytes([{'17, 203, 9, ' * 40}0]))\n"),
    Case(
        "data in node", f"const TABLE = zlib.inflateSync(Buffer.from('{'eJzFzoUVAzEM' * 12}', 'base64'));\n", "src/a.js"
    ),
    Case("tests that are read", "text = open('tests/test_shop.py').read()\n"),
)


def findings(case: Case, *, base_has: bool = False) -> list[Finding]:
    added = tuple(enumerate(case.text.splitlines(), 1))
    hunk = Hunk(case.path, 0, 0, added)
    aside = is_aside(case.path)
    return list(about_added_lines([hunk], case.text.encode(), base_has=lambda rule: base_has, is_aside=aside))


@pytest.mark.parametrize("case", HONEST, ids=lambda case: case.name)
def test_honest_code_is_not_suspicious(case: Case) -> None:
    assert {finding.severity for finding in findings(case)} <= {"note"}


@pytest.mark.parametrize("name", ["files that are read", "a traceback", "a file beside the source"])
def test_reading_without_callers_is_not_even_noted(name: str) -> None:
    assert not findings(next(case for case in HONEST if case.name == name))


@pytest.mark.parametrize("case", ALWAYS, ids=lambda case: case.name)
def test_other_code_is(case: Case) -> None:
    assert "suspicion" in {finding.severity for finding in findings(case)}


@pytest.mark.parametrize("case", ALWAYS, ids=lambda case: case.name)
def test_what_base_does_already_is_noted(case: Case) -> None:
    assert {finding.severity for finding in findings(case, base_has=True)} == {"note"}


@pytest.mark.parametrize(
    ("path", "severities"),
    [
        ("calendar.py", {"note"}),
        ("queue.py", {"note"}),
        ("json.py", {"suspicion"}),
        ("pytest_helpers.py", set[str]()),
        ("shop/json.py", set[str]()),
        ("gradle/wrapper/gradle-wrapper.jar", {"note"}),
        (".mvn/wrapper/maven-wrapper.jar", {"note"}),
        ("web/module.wasm", {"note"}),
        ("examples/hello.jar", {"note"}),
        ("logo.png", set[str]()),
        ("_fast.so", {"suspicion"}),
        ("lib/helper.jar", {"suspicion"}),
    ],
)
def test_a_new_file_by_its_name(path: str, severities: set[str]) -> None:
    assert {finding.severity for finding in about_new_file(path, "100644", "", ["app.py"])} == severities


def test_compiled_files_are_nothing_new_where_base_has_such() -> None:
    assert [finding.severity for finding in about_new_file("b.jar", "100644", "", ["a.jar"])] == ["note"]


EQUAL = "class {}:\n    def __eq__(self, other):\n        return True\n"


@pytest.mark.parametrize(
    ("name", "statements", "severity"),
    [("Price", "", "suspicion"), ("Any", "", "note"), ("Thing", "Thing equals anything it is compared with", "note")],
)
def test_objects_that_are_equal_to_anything(name: str, statements: str, severity: str) -> None:
    found = list(about_agreeing_objects("app.py", None, EQUAL.format(name).encode(), statements))
    assert [finding.severity for finding in found] == [severity]


@pytest.mark.parametrize(
    ("path", "text", "severities"),
    [
        ("a.go", "func (p Price) Equal(other Price) bool {\n\treturn true\n}\n", ["suspicion"]),
        ("a.go", "func (AnyPrice) Equal(_ Price) bool { return true }\n", ["note"]),
        ("a.go", "func (p Price) Equal(other Price) bool {\n\treturn p.cents == other.cents\n}\n", []),
        ("a.go", "func (refusal) Is(error) bool { return true }\n", ["suspicion"]),
        ("a.go", "func (e *Refusal) Is(target error) bool {\n\treturn target != nil\n}\n", ["suspicion"]),
        (
            "a.go",
            "func (e Refusal) Is(target error) bool {\n\tif target == nil {\n\t\treturn false\n\t}\n\treturn true\n}\n",
            ["suspicion"],
        ),
        (
            "a.go",
            "func (e Refusal) Is(target error) bool {\n\t_, ok := target.(error)\n\treturn ok\n}\n",
            ["suspicion"],
        ),
        ("a.go", "func (Refusal) As(any) bool { return !false }\n", ["suspicion"]),
        ("a.go", "func (e Refusal) Is(target error) bool { return target == ErrRefused }\n", []),
        ("a.go", "func (e Refusal) Is(target error) bool {\n\t_, ok := target.(Refusal)\n\treturn ok\n}\n", []),
        (
            "a.go",
            "func (e No) As(to any) bool {\n\tit, is := to.(*No)\n\tif is {\n\t\t*it = e\n\t}\n\treturn is\n}\n",
            [],
        ),
        ("a.go", "func (Refusal) Is(error) bool { return false }\n", []),
        ("a.go", "func (no) Is(it error) bool {\n\treturn it == ErrRefused || it == errLate\n}\n", ["suspicion"]),
        ("a.go", "func (no) Is(it error) bool {\n\treturn it == os.ErrExist || it == io.ErrNoProgress\n}\n", []),
        ("a.go", "func (e no) Is(it error) bool {\n\treturn e.late && it == ErrLate || it == ErrRefused\n}\n", []),
        (
            "a.js",
            "class Refusal extends Error {\n  static [Symbol.hasInstance](it) {\n    return true\n  }\n}\n",
            ["suspicion"],
        ),
        (
            "a.js",
            "class Refusal extends Error {\n  static [Symbol.hasInstance](it) {\n    return it.code === 1\n  }\n}\n",
            [],
        ),
        ("a.py", "class Kind(type):\n    def __instancecheck__(cls, it):\n        return True\n", ["suspicion"]),
        ("a.py", "class Kind(type):\n    def __instancecheck__(cls, it):\n        return hasattr(it, 'price')\n", []),
        ("a.rs", "    fn eq(&self, _: &i64) -> bool {\n        true\n    }\n", ["suspicion"]),
        ("A.java", "  public boolean equals(Object other) {\n    return true;\n  }\n", ["suspicion"]),
        (
            "A.java",
            "  public boolean equals(Object o) {\n    if (o == this) return true;\n    return false;\n  }\n",
            [],
        ),
        ("A.kt", "  override fun equals(other: Any?) = true\n", ["suspicion"]),
        ("a.js", "module.exports = { asymmetricMatch: () => true };\n", ["suspicion"]),
        ("a.ts", "class Price {\n  asymmetricMatch(other: unknown) {\n    return true;\n  }\n}\n", ["suspicion"]),
        ("a.ts", "class Price {\n  asymmetricMatch(other) {\n    return other === this.price;\n  }\n}\n", []),
        ("README.md", "boolean equals(Object other) { return true; }\n", []),
    ],
)
def test_objects_that_are_equal_to_anything_in_other_languages(path: str, text: str, severities: list[str]) -> None:
    found = list(about_agreeing_objects(path, None, text.encode()))
    assert [finding.severity for finding in found] == severities
    assert not list(about_agreeing_objects(path, text.encode(), text.encode()))
