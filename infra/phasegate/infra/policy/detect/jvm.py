"""Detection of Maven and Gradle builds. Called by `project`.

Both write a folder of reports, one a test class; the reader of reports takes a folder as well as a file.
"""

from __future__ import annotations

from phasegate.infra.policy.detect.findings import ProjectFindings, ignored_folder
from phasegate.infra.policy.detect.source_tree import SourceTree

_GRADLE_FILES = ("build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts")
_NO_TESTS = "-Dtest=NoSuchTest -DfailIfNoTests=false -Dsurefire.failIfNoSpecifiedTests=false"


def detect_jvm(tree: SourceTree) -> ProjectFindings:
    """Read how a Maven or Gradle build is set up and tested; Maven first, where both are there."""
    return _maven(tree) if "pom.xml" in tree else _gradle(tree)


def is_jvm(tree: SourceTree) -> bool:
    """Say that a build of Maven or Gradle lies at the root."""
    return any(name in tree for name in ("pom.xml", *_GRADLE_FILES))


def _maven(tree: SourceTree) -> ProjectFindings:
    call = f"{'./mvnw' if 'mvnw' in tree else 'mvn'} -B -q -Dmaven.repo.local=.m2/repository"
    return ProjectFindings(
        language="jvm",
        test=f"{call} -o -fae test; code=$?; {_collected('surefire-reports')}; exit $code",
        test_because="pom.xml",
        setup=f"{ignored_folder('.m2')} && {call} test {_NO_TESTS}",
        setup_because="pom.xml; a run without tests downloads what tests need",
    )


def _gradle(tree: SourceTree) -> ProjectFindings:
    call = f'env GRADLE_USER_HOME="$PWD/.gradle-home" {"./gradlew" if "gradlew" in tree else "gradle"} --no-daemon -q'
    return ProjectFindings(
        language="jvm",
        test=f"{call} --offline --continue test; code=$?; {_collected('test-results')}; exit $code",
        test_because="the Gradle build",
        setup=f"{ignored_folder('.gradle-home')} && {call} testClasses",
        setup_because="the Gradle build",
    )


def _collected(folder: str) -> str:
    """Return the command that copies every module's reports, keeping modules apart."""
    return (
        f"mkdir -p {{junit}}; find . -path '*/{folder}/*' -name 'TEST-*.xml' -exec cp --parents -t {{junit}} '{{}}' +"
    )
