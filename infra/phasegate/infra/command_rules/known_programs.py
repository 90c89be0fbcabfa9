"""Tables of programs: wrappers that start another, programs that start none of their words, and what git knows.

Used by `programs`. A program that stands in no table may start any of its words.
"""

from __future__ import annotations

from dataclasses import dataclass

SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "rbash"})
OTHER_SHELLS = frozenset({"fish", "csh", "tcsh", "nu", "elvish", "xonsh", "pwsh", "rc", "es", "yash", "oksh", "lksh"})
"""Shells whose language is not read."""


@dataclass(frozen=True)
class Wrapper:
    """Call of a program that starts another.

    Attributes:
        flags: Letters of options without a value.
        valued: Letters of options with one.
        operands: Number of words before the program.
        script: Letter of the option whose value is a command line.
        joined: True if the words are read as a command line once more.
    """

    flags: str = ""
    valued: str = ""
    operands: int = 0
    script: str = ""
    joined: bool = False


WRAPPERS = {
    "builtin": Wrapper(),
    "busybox": Wrapper(),
    "chroot": Wrapper(operands=1),
    "chrt": Wrapper("bfiormav", "TPD", operands=1),
    "command": Wrapper("p"),
    "doas": Wrapper("Lns", "aCu"),
    "env": Wrapper("i0v", "uC"),
    "exec": Wrapper("cl", "a"),
    "fakeroot": Wrapper(),
    "flock": Wrapper("sxunoFv", "wE", operands=1, script="c"),
    "ionice": Wrapper("t", "cn"),
    "nice": Wrapper("", "n"),
    "nohup": Wrapper(),
    "setsid": Wrapper("cfw"),
    "stdbuf": Wrapper("", "ioe"),
    "sudo": Wrapper("AbEeHiKklnPSsVv", "CDghpRrTtUu"),
    "taskset": Wrapper("a", "", operands=1),
    "time": Wrapper("pvaq", "of"),
    "timeout": Wrapper("v", "ks", operands=1),
    "toybox": Wrapper(),
    "unshare": Wrapper("imnpuUCTfrc"),
    "watch": Wrapper("bcCdeghptwx", "nq", joined=True),
    "xargs": Wrapper("0ortpx", "adEILnPs"),
}
LONG_FLAGS = frozenset(
    {"--foreground", "--preserve-status", "--verbose", "--null", "--no-run-if-empty", "--ignore-environment"}
    | {"--fork", "--wait", "--map-root-user", "--net", "--mount", "--pid", "--user", "--ipc", "--uts", "--login"}
    | {"--non-interactive", "--preserve-env", "--portability", "--nonblock", "--shared", "--exclusive", "--close"}
    | {"--color", "--differences", "--no-title", "--chgexit", "--errexit", "--beep", "--exec"}
)
SCRIPTED = {"su": "c", "script": "c", "runuser": "c", "sg": "c", "trap": ""}
"""Programs of which one word is a command line: the letter of its option, or none where it is the first word."""
NEVER_READ = frozenset({"alias", "parallel", "enable", "hash", "at", "batch", "crontab", "coproc", "bind", "fc"})
"""Programs that start what is not on the line, or rename what is."""

ORDINARY = frozenset(
    {":", "[", "[[", "apt-cache", "base64", "basename", "bc", "bg", "break", "cat", "cd", "chgrp", "chmod", "chown"}
    | {"cksum", "clear", "cmp", "column", "comm", "continue", "cp", "cut", "date", "dd", "declare", "df", "diff"}
    | {"dirname", "dpkg", "du", "echo", "egrep", "exit", "expand", "export", "expr", "factor", "false", "fgrep", "fg"}
    | {"file", "fmt", "fold", "free", "getconf", "getopts", "grep", "groups", "gunzip", "gzip", "head", "hexdump"}
    | {"hostname", "id", "iconv", "install", "jobs", "join", "jq", "kill", "let", "link", "ln", "local", "locale"}
    | {"ls", "lsof", "md5sum", "mkdir", "mkfifo", "mktemp", "mv", "nl", "nproc", "numfmt", "od", "paste", "patch"}
    | {"pgrep", "pkill", "popd", "pr", "printenv", "printf", "ps", "pushd", "pwd", "read", "readlink", "readonly"}
    | {"realpath", "return", "rev", "rg", "rm", "rmdir", "seq", "set", "sha1sum", "sha256sum", "shift", "shopt"}
    | {"shuf", "sleep", "sort", "split", "stat", "strings", "sum", "sync", "tac", "tail", "tee", "test", "times"}
    | {"touch", "tr", "tree", "true", "truncate", "tsort", "type", "typeset", "ulimit", "umask", "uname", "unexpand"}
    | {"uniq", "unlink", "unset", "unxz", "unzip", "uptime", "wait", "wc", "whereis", "which", "whoami", "xxd", "xz"}
    | {"yes", "yq", "zcat", "zstd", "bzip2", "ag", "bat", "tput", "stty", "uuidgen", "cal", "nm"}
)
"""Programs whose words are names and texts, never a program."""
RUNS_BY_OPTION = {
    "ag": ("--pager",),
    "bat": ("--pager",),
    "dpkg": ("--pre-invoke", "--post-invoke"),
    "install": ("--strip-p",),
    "rg": ("--pre", "--hostname-bin"),
    "sort": ("--co",),
    "split": ("--f",),
}
"""Begin of options with which some of them start a program all the same."""
STARTS_A_SHELL = frozenset({"chroot", "doas", "script", "sg", "su", "sudo", "runuser", "unshare"})
"""Programs that start a shell where they are given no command."""
FROM_FILES = frozenset(
    {"ansible-lint", "ant", "ava", "babel", "bandit", "bazel", "bazelisk", "biome", "black", "buf", "bundle", "bunx"}
    | {
        "c++",
        "cargo",
        "cc",
        "clang",
        "clang-format",
        "clang-tidy",
        "cmake",
        "codespell",
        "composer",
        "conda",
        "coverage",
    }
    | {"cpp", "ctest", "deno", "django-admin", "dotnet", "eslint", "esbuild", "flake8", "flask", "g++", "gcc", "go"}
    | {"gofmt", "golangci-lint", "gradle", "gradlew", "gunicorn", "hatch", "import-linter", "isort", "jar", "java"}
    | {"javac", "jest", "just", "ld", "lint-imports", "make", "gmake", "mocha", "mvn", "mvnw", "mypy", "meson", "next"}
    | {"ninja", "nox", "npm", "npx", "nyc", "pdm", "php-cs-fixer", "phpstan", "phpunit", "pip", "pip3", "pipenv"}
    | {"playwright", "pnpm", "poetry", "pre-commit", "prettier", "protoc", "pylint", "pyright", "basedpyright"}
    | {"py.test", "pytest", "pyupgrade", "rake", "rails", "rollup", "rspec", "rubocop", "ruff", "rustc", "rustfmt"}
    | {"rustup", "shellcheck", "shfmt", "sphinx-build", "stylelint", "swift", "tox", "tsc", "turbo"}
    | {"twine", "uv", "uvicorn", "uvx", "vite", "vitest", "vue-tsc", "webpack", "yamllint", "yarn", "alembic", "mkdocs"}
)
"""Programs of development: what they start stands in files of the project, which no rule looks into."""

FILE_VARIABLES = frozenset({"BASH_ENV"})
"""Variables that name a file whose commands each bash runs first."""
SHELL_FILE_VARIABLES = frozenset({"ENV", "HOME", "ZDOTDIR"})
"""The same for shells that are interactive, or that log in."""
COMMAND_VARIABLES = frozenset(
    {"BROWSER", "EDITOR", "GIT_ASKPASS", "GIT_EDITOR", "GIT_EXTERNAL_DIFF", "GIT_PAGER", "GIT_PROXY_COMMAND"}
    | {"GIT_SEQUENCE_EDITOR", "GIT_SSH", "GIT_SSH_COMMAND", "LESSCLOSE", "LESSOPEN", "MANPAGER", "PAGER"}
    | {"PROMPT_COMMAND", "SSH_ASKPASS", "VISUAL", "SHELL"}
)
"""Variables whose value is a command line."""
CODE_VARIABLES = (
    "GIT_CONFIG", "GIT_EXEC_PATH", "PERL5OPT", "PERL5DB", "RUBYOPT", "PYTHONSTARTUP", "PYTHONINSPECT",
    "PYTHONBREAKPOINT", "BASH_FUNC_", "PS4", "MAKEFILES", "TAR_OPTIONS",
)  # fmt: skip
"""Begin of variables whose value, or the file it names, holds commands in a language that is not read."""

GIT_VALUED = frozenset({"-C", "--git-dir", "--work-tree", "--namespace", "--exec-path", "--attr-source"})
GIT_COMMANDS = frozenset(
    {"add", "am", "annotate", "apply", "archive", "blame", "branch", "bundle", "cat-file", "check-attr"}
    | {"check-ignore", "check-mailmap", "check-ref-format", "checkout", "checkout-index", "cherry", "cherry-pick"}
    | {
        "clean",
        "clone",
        "column",
        "commit",
        "commit-graph",
        "commit-tree",
        "config",
        "count-objects",
        "credential",
        "describe",
    }
    | {"diff", "diff-files", "diff-index", "diff-tree", "fast-export", "fetch", "fetch-pack", "fmt-merge-msg"}
    | {"for-each-ref", "format-patch", "fsck", "gc", "get-tar-commit-id", "grep", "hash-object", "help", "index-pack"}
    | {"init", "interpret-trailers", "log", "ls-files", "ls-remote", "ls-tree", "mailinfo", "maintenance", "merge"}
    | {"merge-base", "merge-file", "merge-tree", "mktag", "mktree", "mv", "name-rev", "notes", "pack-objects"}
    | {"pack-refs", "patch-id", "prune", "prune-packed", "pull", "push", "range-diff", "read-tree", "rebase"}
    | {"reflog", "remote", "repack", "replace", "rerere", "reset", "restore", "rev-list", "rev-parse", "revert", "rm"}
    | {"shortlog", "show", "show-branch", "show-index", "show-ref", "sparse-checkout", "stage", "stash", "status"}
    | {"stripspace", "switch", "symbolic-ref", "tag", "unpack-objects", "update-index", "update-ref", "var"}
    | {"verify-commit", "verify-pack", "verify-tag", "version", "whatchanged", "worktree", "write-tree"}
)
"""Commands of git whose words are names and texts. Another may be an alias, or start a program."""
GIT_RUNS_BY_OPTION = {
    "rebase": ("-x", "--exec"),
    "grep": ("-O", "--open-files-in-pager"),
    "fetch": ("--upload-pack",),
    "fetch-pack": ("--upload-pack", "--exec"),
    "clone": ("-u", "--upload-pack", "-c", "--config"),
    "pull": ("--upload-pack",),
    "push": ("--receive-pack", "--exec"),
    "ls-remote": ("--upload-pack", "--exec"),
    "archive": ("--exec",),
}
"""Options by which such a command starts a program all the same."""
GIT_FORMS = {
    "bisect": ("start", "good", "bad", "new", "old", "skip", "reset", "log", "view", "terms"),
    "lfs": ("ls-files", "status", "env", "version", "track", "untrack"),
    "submodule": ("status", "init", "update", "sync", "summary", "add", "deinit"),
}
"""Forms of further commands that start no program of the caller's choice."""
GIT_SETTINGS = (
    "user.", "author.", "committer.", "color.", "advice.", "init.defaultbranch", "core.quotepath", "core.autocrlf",
    "core.filemode", "core.abbrev", "core.longpaths", "safe.directory", "log.", "status.", "diff.renames",
    "diff.algorithm", "diff.mnemonicprefix", "diff.noprefix", "merge.conflictstyle", "merge.renames", "commit.gpgsign",
    "tag.gpgsign", "rebase.autosquash", "rebase.autostash", "pull.rebase", "pull.ff", "merge.ff", "fetch.prune",
    "column.ui", "gc.auto", "http.sslverify", "http.version", "http.postbuffer", "push.default", "protocol.version",
)  # fmt: skip
"""Begin of settings, in small letters, that name no program; every other value is read as a command line."""


def means(text: str, option: str) -> bool:
    """True if a word may mean an option: a long one may be cut short, a short one stand among others."""
    if option.startswith("--"):
        word = text.partition("=")[0]
        return len(word) > len("--") and option.startswith(word)
    return not text.startswith("--") and text.startswith("-") and option[1] in text[1:]
