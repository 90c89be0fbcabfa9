"""Detection of Maven and Gradle builds. Called by `project`.

Both write a folder of reports, one a test class; the reader of reports takes a folder as well as a file.
"""

from __future__ import annotations

from dataclasses import dataclass

from phasegate.infra.policy.detect.findings import ProjectFindings, ignored_folder
from phasegate.infra.policy.detect.source_tree import SourceTree

_GRADLE_FILES = ("build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts")
# a pattern that no class matches would leave the runner itself undownloaded
_NO_TESTS = "'-Dtest=*#noSuchTest' -DfailIfNoTests=false -Dsurefire.failIfNoSpecifiedTests=false"


@dataclass(frozen=True)
class _Tool:
    """Commands of a build tool, and the place of its reports."""

    because: str
    downloads: str
    """The folder in the checkout that keeps what is downloaded."""
    program: str
    wrapper: str
    """The script in a repository that brings the program itself."""
    call: str
    """A command line with `{program}` in it."""
    prepare: str
    """A command line with `{call}` in it that downloads whatever the tests need."""
    test: str
    """Arguments that run the tests with what is there."""
    reports: str


_MAVEN = _Tool(
    because="pom.xml",
    downloads=".m2",
    program="mvn",
    wrapper="mvnw",
    call="{program} -B -q -Dmaven.repo.local=.m2/repository",
    prepare=f"{{call}} test {_NO_TESTS}",
    test="-o -fae test",
    reports="surefire-reports",
)
_GRADLE = _Tool(
    because="the Gradle build",
    downloads=".gradle-home",
    program="gradle",
    wrapper="gradlew",
    call='env GRADLE_USER_HOME="$PWD/.gradle-home" {program} --no-daemon -q',
    # compiling alone leaves engines undownloaded; a filter that no test matches ends the second call with an error
    prepare="{call} testClasses && ({call} --continue test --tests NoSuchTest || true)",
    test="--offline --continue test",
    reports="test-results",
)


def detect_jvm(tree: SourceTree) -> ProjectFindings:
    """Read how a Maven or Gradle build is set up and tested; Maven first, where both are there."""
    tool = _MAVEN if "pom.xml" in tree else _GRADLE
    call = tool.call.format(program=f"./{tool.wrapper}" if tool.wrapper in tree else tool.program)
    reports = f"-path '*/{tool.reports}/*' -name 'TEST-*.xml'"
    collected = f"mkdir -p {{junit}}; find . {reports} -exec cp --parents -t {{junit}} '{{}}' +"
    return ProjectFindings(
        language="jvm",
        test=f"find . {reports} -delete; {call} {tool.test}; code=$?; {collected}; exit $code",
        test_because=tool.because,
        setup=f"{ignored_folder(tool.downloads)} && {tool.prepare.format(call=call)}",
        setup_because=f"{tool.because}; a run without tests downloads what tests need",
    )


def is_jvm(tree: SourceTree) -> bool:
    """Say that a build of Maven or Gradle lies at the root."""
    return any(name in tree for name in ("pom.xml", *_GRADLE_FILES))
