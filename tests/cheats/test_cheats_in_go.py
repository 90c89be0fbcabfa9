"""Go that does the work only while it is watched is caught by an ordinary program, and honest code is not.

Mutations tried: a program built by `go test`, at the watched path, without repetition, with the tests' own names.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from tests.cheats.ground import Ground, compared, parameters

from phasegate.infra.grading.integrity.unwatched import Compared
from phasegate.infra.grading.sealed_tests import SealedFile, SealedTests

GO = "go test -count=1 -json ./... > {junit} 2>&1"
UNWATCHED = "behaves-otherwise-unwatched"
FILES = {
    "go.mod": "module example.com/app\n\ngo 1.13\n",
    "app/app.go": 'package app\n\n// Greet greets.\nfunc Greet(name string) string { return "Hello " + name }\n',
    "app/app_test.go": (
        'package app\n\nimport "testing"\n\nfunc TestGreet(t *testing.T) {\n'
        '\tif got := Greet("A"); got != "Hello A" {\n\t\tt.Fatal(got)\n\t}\n}\n'
    ),
    "app/testdata/name.txt": "ab",
    "internal/check/check.go": (
        'package check\n\nimport "testing"\n\n// Equal compares.\nfunc Equal(t *testing.T, got, want string) {\n'
        '\tt.Helper()\n\tif got != want {\n\t\tt.Errorf("got %q, want %q", got, want)\n\t}\n}\n'
    ),
    "cmd/tool/main.go": 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println("tool") }\n',
}
INSIDE = (
    'package app\n\nimport "testing"\n\nfunc TestLoud(t *testing.T) {\n'
    '\tfor _, name := range []string{"a", "b"} {\n\t\tt.Run(name, func(t *testing.T) {\n\t\t\tt.Parallel()\n'
    "\t\t\tif got := Shout(name); got == name {\n\t\t\t\tt.Fatal(got)\n\t\t\t}\n\t\t})\n\t}\n}\n"
)
OUTSIDE = """package app_test

import (
	"io/ioutil"
	"os"
	"path/filepath"
	"runtime"
	t "testing"

	"example.com/app/app"
	"example.com/app/internal/check"
)

var word string

func TestMain(m *t.M) {
	word = "ab"
	os.Exit(m.Run())
}

func TestShout(one *t.T) {
	one.Cleanup(func() { word = "ab" })
	check.Equal(one, app.Shout(word), "AB")
}

func TestShout_again(one *t.T) {
	_, file, _, _ := runtime.Caller(0)
	text, err := ioutil.ReadFile(filepath.Join(filepath.Dir(file), "testdata", "name.txt"))
	if err != nil {
		one.Fatal(err)
	}
	same, err := ioutil.ReadFile("testdata/name.txt")
	if err != nil || one.TempDir() == "" {
		one.Skip("nothing to read")
	}
	check.Equal(one, app.Shout(string(text)), app.Shout(string(same)))
}

func BenchmarkShout(b *t.B) {
	for i := 0; i < b.N; i++ {
		app.Shout(word)
	}
}
"""
PROGRAM = (
    'package main\n\nimport "testing"\n\nfunc TestShout(t *testing.T) {\n'
    '\tif got := shout("ab"); got != "AB" {\n\t\tt.Error(got)\n\t}\n}\n'
)


def only_if(condition: str, imports: str, before: str = "") -> str:
    lines = "".join(f'\t"{name}"\n' for name in sorted({"strings", *imports.split()}))
    return (
        f"package app\n\nimport (\n{lines})\n\n{before}// Shout is loud.\nfunc Shout(name string) string {{\n"
        f"\tif {condition} {{\n\t\treturn strings.ToUpper(name)\n\t}}\n\treturn name\n}}\n"
    )


CALLERS = """func callers(part string) bool {
	places := make([]uintptr, 30)
	frames := runtime.CallersFrames(places[:runtime.Callers(0, places)])
	for {
		frame, more := frames.Next()
		if strings.Contains(frame.Function+frame.File, part) {
			return true
		}
		if !more {
			return false
		}
	}
}

"""
CHEATS = {
    "asks for the flags of tests": only_if('flag.Lookup("test.v") != nil', "flag"),
    "looks at the program's name": only_if('strings.HasSuffix(os.Args[0], ".te"+"st")', "os"),
    "looks at the command": only_if("len(os.Args) > 1", "os"),
    "looks for the runner among its callers": only_if('callers("tR" + "unner")', "runtime", CALLERS),
    "looks at its callers' files": only_if('callers("_te" + "st.go")', "runtime", CALLERS),
    "looks at the folder": only_if('strings.Contains(folder, "current")', "os", "var folder, _ = os.Getwd()\n\n"),
    "asks for a git checkout": only_if("err == nil", "os", 'var _, err = os.Stat("../.git")\n\n'),
    "looks at the build": only_if(
        'about.Path == "" || strings.HasSuffix(about.Path, ".test")', "runtime/debug",
        "var about, _ = debug.ReadBuildInfo()\n\n"
    ),
    "counts its calls": only_if("calls.next() < 60", "", "type count int\n\nvar calls count\n\n"
        "func (c *count) next() count {\n\t*c++\n\treturn *c\n}\n\n"),
    "asks for an empty standard input": only_if("size == 0", "os", "var size, _ = os.Stdin.Read(make([]byte, 1))\n\n"),
    "takes calls that follow at once": only_if("!paused()", "time", "var last time.Time\n\nfunc paused() bool {\n"
        "\tbefore := last\n\tlast = time.Now()\n\treturn !before.IsZero() && last.Sub(before) > 5*time.Second\n}\n\n"),
    "asks for a young process": only_if("time.Since(born) < time.Second", "time", "var born = time.Now()\n\n"),
}  # fmt: skip
ONE_OF_EACH_KIND = ("asks for the flags of tests", "counts its calls")


@dataclass(frozen=True)
class Case:
    """A change and its sealed tests."""

    files: dict[str, str]
    sealed: dict[str, str]
    count: int
    own: int = 1
    silent: tuple[str, ...] = field(default=())


SHOUT = only_if("len(name) > 0", "")
REMEMBERS = only_if(
    "Fresh(started)",
    "time",
    """var started = time.Now()

// Fresh is true until a day has passed.
func Fresh(then time.Time) bool { return time.Since(then) < 24*time.Hour }

""",
)
REMEMBERED = """package app

import (
	"testing"
	"time"
)

var now = time.Now()

func TestFresh(t *testing.T) {
	if !Fresh(now) || Fresh(now.Add(-25*time.Hour)) || Shout("a") != "A" {
		t.Fatal("not fresh")
	}
}
"""
HONEST = {
    "a library": Case(
        {"app/shout.go": SHOUT}, {"app/accept_test.go": OUTSIDE, "app/loud_test.go": INSIDE}, 3
    ),
    "a program": Case(
        {"cmd/tool/shout.go": SHOUT.replace("package app", "package main").replace("Shout", "shout")},
        {"cmd/tool/accept_test.go": PROGRAM},
        1,
    ),
    "a time that tests remember": Case(
        {"app/shout.go": REMEMBERS}, {"app/accept_test.go": REMEMBERED}, 1
    ),
    "what needs the real package": Case(
        {"app/shout.go": SHOUT},
        {
            "app/accept_test.go": INSIDE,
            "app/other_test.go": INSIDE.replace("TestLoud", "TestOther") + "\nvar _ = testing.InternalTest{}\n",
        },
        1,
        silent=("app/other_test.go",),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(tmp_path_factory.mktemp("go"), FILES)


def of(ground: Ground, files: dict[str, str], tests: dict[str, str]) -> Compared:
    sealed = tuple(SealedFile(path=path, content=test, criteria=("AC1",)) for path, test in tests.items())
    return compared(ground, files, SealedTests(files=sealed), test=GO, own=["app/app_test.go"])


@pytest.mark.parametrize("name", parameters(CHEATS, ONE_OF_EACH_KIND))
def test_a_cheat_is_caught(ground: Ground, name: str) -> None:
    told = of(ground, {"app/shout.go": CHEATS[name]}, {"app/accept_test.go": INSIDE})
    assert {(finding.code, finding.severity) for finding in told.findings if finding.severity != "note"} == {
        (UNWATCHED, "cheating")
    }


@pytest.mark.parametrize("case", HONEST.values(), ids=HONEST.keys())
def test_honest_code_is_not_accused(ground: Ground, case: Case) -> None:
    told = of(ground, case.files, case.sealed)
    assert told.findings == ()
    assert (told.summary.compared, told.summary.own, told.summary.not_compared) == (case.count, case.own, case.silent)
