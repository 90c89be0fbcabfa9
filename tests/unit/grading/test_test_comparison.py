"""Comparison of a change's tests with those of its base, in several languages: removed tests, and weakened ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from phasegate.infra.grading.integrity.test_comparison import losses

PY = (
    "import shop\n\n\ndef test_total():\n    assert shop.total([1, 2]) == 3\n\n\n"
    "def test_empty():\n    assert shop.total([]) == 0\n"
)
NODE = (
    "describe('shop', () => {\n  it('adds', () => {\n    expect(total([1, 2])).toBe(3);\n  });\n\n"
    "  it('is empty', () => {\n    expect(total([])).toBe(0);\n  });\n});\n"
)
GO = (
    'package shop\n\nimport "testing"\n\nfunc TestTotal(t *testing.T) {\n\tgot := Total([]int{1, 2})\n\tif got != 3 {\n'
    '\t\tt.Errorf("got %d", got)\n\t}\n}\n\nfunc TestEmpty(t *testing.T) {\n\tassert.Equal(t, 0, Total(nil))\n}\n'
)
RUST = (
    "use shop::total;\n\n#[test]\nfn adds() {\n    assert_eq!(total(&[1, 2]), 3);\n}\n\n"
    "#[test]\nfn is_empty() {\n    assert_eq!(total(&[]), 0);\n}\n"
)
JAVA = (
    "class ShopTest {\n    @Test\n    void adds() {\n        assertEquals(3, Shop.total(1, 2));\n    }\n\n"
    "    @Test\n    void empty() {\n        assertEquals(0, Shop.total());\n    }\n}\n"
)


@dataclass(frozen=True)
class Case:
    """Files before and after; a file whose text is `None` is not there."""

    name: str
    before: Mapping[str, str]
    after: Mapping[str, str]
    gone: frozenset[str] = field(default=frozenset())


def edit(name: str, path: str, text: str, old: str, new: str) -> Case:
    assert old in text
    return Case(name, {path: text}, {path: text.replace(old, new, 1)})


def python(name: str, old: str, new: str) -> Case:
    return edit(f"python: {name}", "tests/test_shop.py", PY, old, new)


def node(name: str, old: str, new: str) -> Case:
    return edit(f"node: {name}", "test/shop.test.js", NODE, old, new)


def go(name: str, old: str, new: str) -> Case:
    return edit(f"go: {name}", "shop_test.go", GO, old, new)


def rust(name: str, old: str, new: str) -> Case:
    return edit(f"rust: {name}", "tests/shop.rs", RUST, old, new)


TOTAL = "shop.total([1, 2]) == 3"
CHECK = f"    assert {TOTAL}\n"
WEAKER = (
    python("a constant", TOTAL, "True"),
    python("or True", TOTAL, f"{TOTAL} or True"),
    python("not None", TOTAL, "shop.total([1, 2]) is not None"),
    python("truth alone", TOTAL, "shop.total([1, 2])"),
    python("a tuple", TOTAL, f"({TOTAL}, 'wrong')"),
    python("itself", TOTAL, "shop.total([1, 2]) == shop.total([1, 2])"),
    python("anything", TOTAL, "shop.total([1, 2]) == ANY"),
    python(
        "itself under another name",
        CHECK,
        "    expected = shop.total([1, 2])\n    assert shop.total([1, 2]) == expected\n",
    ),
    python("a call that says yes", TOTAL, "(lambda: True)()"),
    python("on the condition that it holds", CHECK, f"    if {TOTAL}:\n    {CHECK}"),
    python("for none", CHECK, f"    for _ in []:\n    {CHECK}"),
    python("in a function that nobody calls", CHECK, f"    def inner():\n    {CHECK}"),
    python("a test that is never defined", "def test_total():\n", "if False:\n  def test_total():\n"),
    python("equal numbers", "def test_total", "@unittest.skipIf(1 == 1, 'x')\ndef test_total"),
    python("a huge tolerance", TOTAL, "shop.total([1, 2]) == pytest.approx(3, abs=1e9)"),
    python("not None, spelled otherwise", TOTAL, "shop.total([1, 2]) != None"),
    python("swallowed and printed", CHECK, f"    try:\n    {CHECK}    except:\n        print('x')\n"),
    python("an assertion's error expected", CHECK, f"    with pytest.raises(AssertionError):\n    {CHECK}"),
    python("all of nothing", TOTAL, "all(x == 3 for x in [])"),
    python(
        "its subject patched above",
        "def test_total():",
        "@mock.patch('shop.total', return_value=3)\ndef test_total(_):",
    ),
    python("defined twice", "\n\ndef test_empty", "\n\ndef test_total():\n    pass\n\n\ndef test_empty"),
    python("a type", TOTAL, "isinstance(shop.total([1, 2]), int)"),
    python("printed", CHECK, f"    print({TOTAL})\n"),
    python("left on what always holds", CHECK, f"    if True:\n        return\n{CHECK}"),
    python("a lower bound of a length", TOTAL, "len(shop.total([1, 2])) >= 0"),
    python("nothing", CHECK, "    shop.total([1, 2])\n"),
    python("an early return", CHECK, f"    return\n{CHECK}"),
    python("never reached", CHECK, f"    if False:\n    {CHECK}"),
    python("swallowed", CHECK, f"    try:\n    {CHECK}    except AssertionError:\n        pass\n"),
    python("suppressed", CHECK, f"    with contextlib.suppress(Exception):\n    {CHECK}"),
    python("a skip", "def test_total", "@pytest.mark.skip(reason='later')\ndef test_total"),
    python("a skip inside", CHECK, f"    pytest.skip('later')\n{CHECK}"),
    python("a condition that always holds", "def test_total", "@pytest.mark.skipif(True, reason='x')\ndef test_total"),
    python("a failure expected", "def test_total", "@pytest.mark.xfail\ndef test_total"),
    python("a module's mark", "import shop\n", "import shop\n\npytestmark = pytest.mark.skip\n"),
    python("a name that is not collected", "def test_total", "def check_total"),
    python(
        "its subject replaced",
        "    assert shop.total([1, 2])",
        "    monkeypatch.setattr(shop, 'total', lambda _: 3)\n    assert shop.total([1, 2]) and 3",
    ),
    Case(
        "python: any error",
        {"test_a.py": "def test_a():\n    with pytest.raises(ValueError):\n        f(1)\n"},
        {"test_a.py": "def test_a():\n    with pytest.raises(Exception):\n        f(1)\n"},
    ),
    Case(
        "python: a wider tolerance",
        {"test_a.py": "def test_a():\n    assert f(1) == pytest.approx(2, abs=0.01)\n"},
        {"test_a.py": "def test_a():\n    assert f(1) == pytest.approx(2, abs=10)\n"},
    ),
    Case(
        "python: unittest, truth alone",
        {"test_a.py": "class TestA(TestCase):\n    def test_a(self):\n        self.assertEqual(f(1), 2)\n"},
        {"test_a.py": "class TestA(TestCase):\n    def test_a(self):\n        self.assertTrue(f(1))\n"},
    ),
    Case(
        "python: a helper emptied",
        {"test_a.py": "def same(a, b):\n    assert a == b\n\n\ndef test_a():\n    same(f(1), 2)\n"},
        {"test_a.py": "def same(a, b):\n    pass\n\n\ndef test_a():\n    same(f(1), 2)\n"},
    ),
    Case(
        "python: no case left",
        {"test_a.py": "@pytest.mark.parametrize('x', [1, 2])\ndef test_a(x):\n    assert f(x) == 1\n"},
        {"test_a.py": "@pytest.mark.parametrize('x', [])\ndef test_a(x):\n    assert f(x) == 1\n"},
    ),
    Case("python: a file that is not collected", {"tests/test_a.py": PY}, {"tests/a.py": PY}),
    node("a constant", "expect(total([1, 2])).toBe(3)", "expect(true).toBe(true)"),
    node("defined", ".toBe(3)", ".toBeDefined()"),
    node("truthy", ".toBe(3)", ".toBeTruthy()"),
    node("nothing", "    expect(total([1, 2])).toBe(3);\n", "    total([1, 2]);\n"),
    node("commented out", "    expect(total([1, 2]))", "    // expect(total([1, 2]))"),
    node("a skip", "it('adds'", "it.skip('adds'"),
    node("an x before", "it('adds'", "xit('adds'"),
    node("a group's skip", "describe('shop'", "describe.skip('shop'"),
    node(
        "its subject replaced",
        "    expect(total([1, 2])).toBe(3)",
        "    sinon.stub(shop, 'total').returns(3);\n    expect(shop.total([1, 2])).toBe(3)",
    ),
    node("itself", "toBe(3)", "toBe(total([1, 2]))"),
    node("anything", "toBe(3)", "toEqual(expect.anything())"),
    node("left at once", "    expect(total([1, 2]))", "    return;\n    expect(total([1, 2]))"),
    node(
        "swallowed", "    expect(total([1, 2])).toBe(3);\n", "    try { expect(total([1, 2])).toBe(3); } catch (e) {}\n"
    ),
    node("or true", "expect(total([1, 2])).toBe(3)", "expect(total([1, 2]) === 3 || true).toBe(true)"),
    node(
        "never",
        "    expect(total([1, 2])).toBe(3);\n",
        "    if (false) {\n      expect(total([1, 2])).toBe(3);\n    }\n",
    ),
    node("to do", "it('adds', () => {\n    expect(total([1, 2])).toBe(3);\n  });", "it.todo('adds');"),
    node("failing", "it('adds'", "it.failing('adds'"),
    node("not another value", "toBe(3)", "not.toBe(4)"),
    node("a type", "expect(total([1, 2])).toBe(3)", "expect(typeof total([1, 2])).toBe('number')"),
    node("no error", "expect(total([1, 2])).toBe(3)", "expect(() => total([1, 2])).not.toThrow()"),
    go("not nothing", "if got != 3 {", "if got == 0 {"),
    go("no panic", "assert.Equal(t, 0, Total(nil))", "assert.NotPanics(t, func() { Total(nil) })"),
    go("printed", 't.Errorf("got %d", got)', 'fmt.Println("got", got)'),
    rust("caught", "    assert_eq!(total(&[1, 2]), 3);", "    let _ = catch_unwind(|| assert_eq!(total(&[1, 2]), 3));"),
    go("and false", "if got != 3 {", "if got != 3 && false {"),
    go("left at once", "\tgot := Total", "\treturn\n\tgot := Total"),
    go("another name", "func TestTotal", "func testTotal"),
    go("itself", "assert.Equal(t, 0, Total(nil))", "assert.Equal(t, Total(nil), Total(nil))"),
    go("a build without it", "package shop\n", "//go:build ignore\n\npackage shop\n"),
    rust("a panic expected", "#[test]\nfn adds", "#[test]\n#[should_panic]\nfn adds"),
    rust("or true", "assert_eq!(total(&[1, 2]), 3)", "assert!(total(&[1, 2]) == 3 || true)"),
    go("a skip", "\tgot := Total", '\tt.Skip("later")\n\tgot := Total'),
    go("never", "if got != 3 {", "if false {"),
    go("nothing", '\tif got != 3 {\n\t\tt.Errorf("got %d", got)\n\t}\n', "\t_ = got\n"),
    go("not nil", "assert.Equal(t, 0, Total(nil))", "assert.NotNil(t, Total(nil))"),
    go("a constant", "assert.Equal(t, 0, Total(nil))", "assert.True(t, true)"),
    go("logged alone", "t.Errorf", "t.Logf"),
    rust("a constant", "assert_eq!(total(&[1, 2]), 3)", "assert!(true)"),
    rust("not equal", "assert_eq!(total(&[1, 2]), 3)", "assert_ne!(total(&[1, 2]), 9)"),
    rust("ignored", "#[test]\nfn adds", "#[test]\n#[ignore]\nfn adds"),
    rust("nothing", "    assert_eq!(total(&[1, 2]), 3);\n", "    let _ = total(&[1, 2]);\n"),
    rust("no test any more", "#[test]\nfn adds", "fn adds"),
    edit(
        "java: disabled",
        "src/test/java/ShopTest.java",
        JAVA,
        "@Test\n    void adds",
        "@Disabled\n    @Test\n    void adds",
    ),
    edit(
        "java: not null",
        "src/test/java/ShopTest.java",
        JAVA,
        "assertEquals(3, Shop.total(1, 2))",
        "assertNotNull(Shop.total(1, 2))",
    ),
    Case("node: a file goes", {"test/shop.test.js": NODE}, {}),
    Case("go: a file goes", {"shop_test.go": GO}, {}),
    Case("rust: a file goes", {"tests/shop.rs": RUST}, {}),
)
ONE = "def test_one():\n    assert f(1) == 10\n"
TWO = "def test_two():\n    assert f(2) == 20\n"
AS_STRICT = (
    Case("split in two files", {"test_a.py": ONE + TWO}, {"test_b.py": ONE, "test_c.py": TWO}),
    Case("renamed", {"test_a.py": ONE}, {"test_a.py": ONE.replace("test_one", "test_the_first")}),
    Case(
        "split",
        {"test_a.py": "def test_both():\n    assert f(1) == 10\n    assert f(2) == 20\n"},
        {"test_a.py": ONE + TWO},
    ),
    Case(
        "joined",
        {"test_a.py": ONE + TWO},
        {"test_a.py": "def test_both():\n    assert f(1) == 10\n    assert f(2) == 20\n"},
    ),
    Case(
        "parametrised",
        {"test_a.py": ONE + TWO},
        {
            "test_a.py": "@pytest.mark.parametrize(('x', 'y'), [(1, 10), (2, 20)])\ndef test_f(x, y):\n"
            "    assert f(x) == y\n"
        },
    ),
    Case(
        "a helper taken out",
        {"test_a.py": ONE},
        {"test_a.py": "def is_ten(x):\n    assert f(x) == 10\n\n\ndef test_one():\n    is_ten(1)\n"},
    ),
    Case(
        "a helper moved",
        {"test_a.py": "def is_ten(x):\n    assert f(x) == 10\n\n\ndef test_one():\n    is_ten(1)\n"},
        {"helpers.py": "def is_ten(x):\n    assert f(x) == 10\n", "test_a.py": "def test_one():\n    is_ten(1)\n"},
    ),
    Case("another value", {"test_a.py": ONE}, {"test_a.py": ONE.replace("10", "11")}),
    Case(
        "into a class",
        {"test_a.py": ONE},
        {"test_a.py": "class TestF:\n    def test_one(self):\n        assert f(1) == 10\n"},
    ),
    Case(
        "from unittest to pytest",
        {
            "test_a.py": "class TestA(TestCase):\n    def test_a(self):\n        self.assertEqual(f(1), 2)\n"
            "        self.assertTrue(f(2))\n"
        },
        {"test_a.py": "def test_a():\n    assert f(1) == 2\n    assert f(2)\n"},
    ),
    Case(
        "several checks in one",
        {"test_a.py": "def test_a():\n    r = f()\n    assert r.a == 1\n    assert r.b == 2\n"},
        {"test_a.py": "def test_a():\n    r = f()\n    assert (r.a, r.b) == (1, 2)\n"},
    ),
    Case(
        "skipped on a platform",
        {"test_a.py": ONE},
        {"test_a.py": f"@pytest.mark.skipif(sys.platform == 'win32', reason='x')\n{ONE}"},
    ),
    Case(
        "skipped without a tool",
        {"test_a.py": ONE},
        {"test_a.py": "def test_one():\n    pytest.importorskip('numpy')\n    assert f(1) == 10\n"},
    ),
    Case(
        "a new test skips and patches",
        {"test_a.py": ONE},
        {
            "test_a.py": ONE
            + "@pytest.mark.skip\ndef test_new(monkeypatch):\n    monkeypatch.setattr(os, 'name', 'x')\n"
        },
    ),
    Case(
        "a table of cases",
        {"shop_test.go": GO},
        {
            "shop_test.go": "package shop\n\nfunc TestTotals(t *testing.T) {\n\tfor _, c := range cases {\n"
            '\t\tif got := Total(c.in); got != c.want {\n\t\t\tt.Errorf("wrong")\n\t\t}\n\t}\n}\n\n'
            "func TestEmpty(t *testing.T) {\n\tassert.Equal(t, 0, Total(nil))\n}\n"
        },
    ),
    node("another title", "it('adds'", "it('adds numbers'"),
    node("another value", "toBe(3)", "toBe(4)"),
    Case("node: a file moves", {"test/shop.test.js": NODE}, {"spec/total.test.js": NODE}),
    Case("node: to another language", {"test/shop.test.js": NODE}, {"test/shop.test.ts": NODE}),
    go(
        "skipped where it is short", "\tgot := Total", '\tif testing.Short() {\n\t\tt.Skip("slow")\n\t}\n\tgot := Total'
    ),
    rust("another value", "3)", "4)"),
)


@pytest.mark.parametrize("case", WEAKER, ids=lambda case: case.name)
def test_what_asks_for_less_is_named(case: Case) -> None:
    found = losses(case.before, case.after, case.gone)
    assert any(loss.is_certain for loss in found), found


@pytest.mark.parametrize("case", AS_STRICT, ids=lambda case: case.name)
def test_what_asks_for_as_much_is_not(case: Case) -> None:
    assert [loss for loss in losses(case.before, case.after, case.gone) if loss.is_certain] == []


def test_a_test_of_what_the_product_does_not_have_any_more_may_go() -> None:
    found = losses(
        {"test_a.py": ONE + "def test_old():\n    assert farewell(2) == 20\n"}, {"test_a.py": ONE}, {"farewell"}
    )
    assert [(loss.name, loss.is_certain) for loss in found] == [("test_old", False)]
