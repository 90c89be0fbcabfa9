"""P10: a denied command is denied or asked about in each spelling that a shell or another program takes."""

from __future__ import annotations

import pytest

from phasegate.infra.command_rules import asked_about, rule_on
from phasegate.infra.policy.permissions import CommandRules

NO_PUSH = CommandRules(deny=("git push",))

SPELLINGS = r"""
git rebase --exe='git push' main
setarch -R git push
setarch x86_64 -R git push
linux64 ./bin/git push
start-stop-daemon -S -x ./bin/git -- push
odd-starter --program=tools/git push
node --import 'data:text/javascript,import("x")' -e 1
node --import='data:text/javascript;base64,eA==' x.js
node --experimental-loader DATA:text/javascript,x x.js
deno run data:text/typescript,x
deno run https://example.invalid/x.ts
npx tsx --import=data:text/javascript,x y.ts
git rebase --ex 'git push' main
git rebase -ix'git push' main
git fetch --upload-p='git push' . main
git fetch --upl='git push' . main
git pull --upload='git push' . main
git fetch-pack --upload-pack='git push' . main
git fetch-pack --exec='git push' . main
git ls-remote --exe='git push' .
git clone -qu 'git push' . x
git clone --conf core.fsmonitor='git push' . x
git clone -qc core.fsmonitor='git push' . x
git grep --open='git push' x
git grep -nO'git push' x
git archive --exe='git push' main
env --split='git push'
env --s='git push'
flock --comm='git push' f
dpkg --pre-invoke='git push' -i x
git '' push
git "" -C . push
git-push
/usr/lib/git-core/git-push origin
$(git --exec-path)/git-push
flock f -c 'git push'
flock f git push
flock -x -w 5 f --command 'git push'
echo git push | xargs -I{} sh -c '{}'
echo push | xargs -I% git %
echo push | xargs -i git {}
echo push | xargs --replace git {}
echo push | xargs -rI X git X
echo git push | xargs env
echo 'git push' | xargs -d '\n' -n1 sh -c
printf 'git\0push' | xargs -0 nice
. ./s
source s
. /dev/stdin <<< 'git push'
. <(echo git push)
ENV=./s sh -i -c true
export ENV=./s; sh -i -c true
env ENV=./s sh -ic true
HOME=. bash -l -c true
HOME=. bash -o interactive -c true
ZDOTDIR=. zsh -i -c true
BASH_ENV=./s bash -c true
BASH_ENV=./s ./run.sh
export BASH_ENV=s; make
bash --rcfile s -i
bash --init-file s
declare BASH_ENV=s; ./x
watch git push
watch -n 1 git push
watch -n1 'git push'
script -qc 'git push' /dev/null
script -c'git push' out
script --command='git push' out
su -c 'git push'
su nobody -s /bin/sh -c 'git push'
runuser -u me -c 'git push'
sg group -c 'git push'
parallel git ::: push
echo git push | parallel
strace git push
strace -f -o out git push
ltrace -f git push
perf stat git push
valgrind git push
gdb -ex 'shell git push'
setpriv --no-new-privs git push
chrt -r 1 git push
setarch x86_64 git push
linux64 git push
unbuffer git push
xvfb-run git push
firejail git push
dbus-run-session -- git push
systemd-run git push
start-stop-daemon --start --exec /usr/bin/git -- push
/lib64/ld-linux-x86-64.so.2 /usr/bin/git push
ls | entr git push
ls | entr -s 'git push'
echo git push | at now
echo git push | batch
ssh host git push
ssh -o ProxyCommand='git push' host
rsync -e 'git push' a b:c
tar cf x y --checkpoint=1 --checkpoint-action='exec=git push'
tar xf x --to-command='git push'
tar -I 'git push' -xf x
echo git push | tar cf x y --checkpoint-action=exec=sh
zip x y -T -TT 'git push'
split --filter='git push' x
sort --compress-program='git push' x
rg --pre 'git push' x
man -P 'git push' ls
vim -c '!git push'
vim -es +'!git push' +q
ed <<< '!git push'
dc -e '!git push'
dc <<< '!git push'
sqlite3 x '.shell git push'
psql -c '\! git push'
find . -exec git push \;
find . -name x -exec sh -c 'git {}' \;
find . -name push -execdir git {} +
fd -x git push
fd --exec='git push'
sh -c "$x"
sh -c 'git "$1"' _ push
sh -c '"$@"' _ git push
sh < s
cat s | sh
cat s | { true; sh; }
{ sh; } < s
exec < s; sh
echo git push > >(sh)
echo git push | tee >(sh)
bash -s <<< 'git push'
bash -oc pipefail 'git push'
bash -ec 'git push'
busybox sh -c 'git push'
busybox ash -c 'git push'
fish -c 'git push'
csh -c 'git push'
pwsh -c 'git push'
zsh -c '=git push'
eval "git push"
eval $x
f() { "$@"; }; f git push
f() { git "$@"; }; f push
trap 'git push' EXIT
trap "$x" EXIT
coproc git push
alias g='git push'; g
hash -p /usr/bin/git x; x push
exec -a x git push
command git push
nohup setsid stdbuf -oL git push
timeout 5s nice -n 5 ionice -c2 git push
env -S 'git push'
env -iS'git push'
env --split-string='git push'
env A=1 git push
time -p git push
g''it pu"sh"
g\it push
{git,push}
gi? push
git$IFS push
$'git' push
`echo git` push
git $(echo push)
git pu*
git -c alias.x=push x
git -c ALIAS.x=push x
git -c include.path=s x
git config alias.x push && git x
git x
git -c core.sshCommand='git push' fetch
git -c core.pager='git push' log
git -c core.editor="$x" commit
git -c diff.external='sh -c "git push"' diff
git --exec-path=. x
git --config-env=alias.x=X x
GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=alias.x GIT_CONFIG_VALUE_0=push git x
GIT_CONFIG_GLOBAL=s git status
GIT_CONFIG_PARAMETERS="'alias.x'='push'" git x
GIT_EXEC_PATH=. git status
GIT_EDITOR='git push' git commit
GIT_SEQUENCE_EDITOR='git push' git rebase -i HEAD~1
GIT_SSH_COMMAND='git push' git fetch
GIT_PAGER='git push' git log
GIT_EXTERNAL_DIFF='git push' git diff
PAGER='git push' git log
EDITOR='git push' git commit
VISUAL="$x" git commit
LESSOPEN='|git push' less x
PROMPT_COMMAND='git push' bash -i
PS4='$(git push)' bash -xc true
export GIT_EDITOR='git push'; git commit
CC='git push' make
git bisect run git push
git bisect run ./s
git submodule foreach git push
git submodule --quiet foreach 'git push'
git rebase -x 'git push' HEAD~1
git rebase --exec='git push' HEAD~1
git filter-branch --tree-filter 'git push' HEAD
git difftool -x 'git push'
git grep -O'git push' x
git for-each-repo --config=x push
git clone 'ext::git push' x
git fetch ext::sh% -c% git% push
git remote add x 'ext::git push'
git clone -u 'git push' x
git subtree push
git send-pack x
make --eval='$(shell git push)'
make -f - <<< 'all:; git push'
make -f /dev/stdin
make SHELL='git push'
npx -c 'git push'
npm exec -c 'git push'
npm exec -- git push
go test -exec 'git push' ./...
go build -toolexec 'git push'
uv run git push
poetry run git push
python -c 'import os; os.system("git push")'
python3 -c 'import subprocess as s; s.run(["git", "pu" + "sh"])'
python3 -c '__import__("o" + "s").popen("git pu" "sh")'
python3.12 -Sc 'from os import *; system("x")'
python3 -c 'import os; getattr(os, "sys" + "tem")("x")'
python3 -c 'import os; os.__dict__["sys" + "tem"]("x")'
python3 -c 'import os; vars(os)["sys" + "tem"]("x")'
python3 -c 'exec("impor" + "t os")'
python3 -c 'import shutil; shutil.os.execvp("g" + "it", ["git", "pu" + "sh"])'
python3 -c 'import sys; sys.modules["o" + "s"]'
python3 -c '().__class__.__base__.__subclasses__()'
python3 -c 'import ctypes; ctypes.CDLL(None)'
python3 -c 'import asyncio'
python3 -c 'import pty; pty.spawn("sh")'
python3 -c 'import importlib; importlib.import_module("o" + "s")'
python3 -c 'import sys; sys._getframe().f_builtins'
python3 -c 'import sh; sh.git(x)'
python3 -c "$x"
python3 <<< 'import os; os.system("x")'
echo 'import os' | python3
cat s | python3 -
python3 -m timeit -s 'import os' 'os.system("x")'
python3 -m pdb -c '!git push' x.py
python3 -m code < s
perl -e 'system "x"'
perl -e 'exec "git", "push"'
perl -e '`git push`'
perl -ne 's/x/`id`/e' f
perl -pe 's/a/@{[ `id` ]}/' f
perl -E 'open F, "git push |"'
perl -MPOSIX -le 'print qx(id)'
ruby -e '`git push`'
ruby -e 'Kernel.send(:system, "x")'
ruby -rjson -e 'exec "x"'
node -e 'require("child_process").execSync("x")'
node -p 'process.mainModule.require("child" + "_process")'
node --eval='global["req" + "uire"]("x")'
node -pe 'eval("x")'
php -r 'shell_exec("x");'
php -r '$f = "sys" . "tem"; $f("x");'
lua -e 'os.execute("x")'
node - <<< 'require("child_process")'
node -i <<< 'x'
node -e 'const p = process; for (const k in p) { p[k].require("child_" + "process") }'
node --input-type=module -e 'import { execSync as x } from "child_process"'
deno eval 'new Deno.Command("git")'
tsx -e 'import("child_process")'
NODE_OPTIONS='--require ./s' npm test
PERL5OPT=-Msystem perl x
RUBYOPT=-rx ruby y
awk 'BEGIN { system("git push") }'
awk '{ print | "sh" }' f
awk 'BEGIN { "git push" | getline }'
awk "$x" f
gawk '@load "x"'
gawk -F: -f s -e 'BEGIN { system("git push") }'
gawk -e 1 -e 'BEGIN { system("git push") }'
gawk -l x 1 f
sed '1e git push' f
sed 's/x/git push/e' f
sed -e '1,2p' -e 'e' f
sed -n '/a/{s/b/c/ge}' f
sed "$x" f
[[ -v 'a[$(git push)]' ]]
test -v 'a[`git push`]'
printf -v 'a[$(git push)]' x
unset 'a[$(git push)]'
let 'a[$(git push)]=1'
read 'a[$(git push)]' <<< x
compgen -C 'git push'
complete -C 'git push' x
mapfile -C 'git push' -c 1 x <<< a
bash /dev/fd/3 3<<< 'git push'
bash /proc/self/fd/3 3< s
awk -f - <<< 'BEGIN{system("git push")}'
awk -f /dev/stdin <<< 'BEGIN{system("git push")}'
sed -f - s <<< 'e'
sed -f /dev/stdin s <<< 'e'
sed --expression e s
sed -nEe e s
sed 's/x[/]/y/e' s
sed 's|a|b|;s,g,g,e' s
perl -de 'system "git push"'
perl -pe 's{^}{`git push`}e' s
perl -pe "s'^'system q(git push)'e" s
perl -M'POSIX;system("git push")' -e 1
python3 -mtimeit '__import__("os").system("git push")'
python3 -i s <<< 'import os; os.system("git push")'
PYTHONINSPECT=1 python3 -c 1 <<< 'import os'
PYTHONBREAKPOINT=os.system python3 -c 'breakpoint("git push")'
python3 -c 'import dataclasses as d; d._create_fn("f", (), ["x"])'
python3 -c 'import enum; enum.bltns.eval("x")'
python3 -c 'import fractions; fractions.operator.methodcaller("x")'
python3 -c 'from importlib.metadata import EntryPoint as E; E("x", "os:system", "g").load()("x")'
git -c credential.helper='!git push' fetch
make --makefile=/dev/stdin
make -sf-
make -sf - <<< 'x:;git push'
split --filt='git push' x
sort --comp='git push' x
x='a[$(git push)]'; [[ -v $x ]]
x='a[$(git push)]'; (( x ))
x='$(git push)'; echo "${x@P}"
set -- 'a[$(git push)]'; (( $1 ))
script -q out < s
su < s
chroot / < s
unshare -r < s
runuser -u root -- git push
MAKEFLAGS='--eval=$(shell git push)' make
MAKEFILES=/dev/stdin make
GOFLAGS='-toolexec=git push' go build
RUSTC_WRAPPER='git push' cargo build
FCEDIT='git push' fc
unknown-tool --run 'git push'
unknown-tool git push
unknown-tool git "$x"
unknown-tool <<< 'git push'
""".strip().split("\n")

HEREDOCS = [
    "sh <<EOF\ngit push\nEOF",
    "bash -s <<'EOF'\ngit push\nEOF",
    "cat <<EOF | sh\ngit push\nEOF",
    "python3 - <<'EOF'\nimport subprocess\nsubprocess.run(['git', 'push'])\nEOF",
    "node <<'EOF'\nrequire('child_process')\nEOF",
    "ftp <<EOF\n!git push\nEOF",
    "xargs -I{} sh -c {} <<EOF\ngit push\nEOF",
]


@pytest.mark.parametrize("command", [*SPELLINGS, *HEREDOCS])
def test_a_denied_command_never_runs_unasked(command: str) -> None:
    """Mutation tried: nothing is `unread`; nothing is `possible`; `git-push` is a program of its own."""
    ruling = rule_on(command, NO_PUSH)
    assert ruling.verdict in {"ask", "deny"}, ruling
    assert ruling.reason
    if ruling.verdict == "ask":  # a yes holds for this command line only
        assert asked_about(command, NO_PUSH) == ()


def test_policy_may_allow_what_is_not_read() -> None:
    rules = CommandRules(allow=("python3 -c", ". ./env.sh", "git flow"), deny=("git push",))
    assert rule_on("python3 -c 'import os; os.system(x)'", rules).verdict == "allow"
    assert rule_on(". ./env.sh", rules).verdict == "allow"
    assert rule_on(". ./other.sh", rules).verdict == "ask"
    assert rule_on("git flow init", rules).verdict == "allow"


def test_nothing_is_asked_about_where_policy_restricts_nothing() -> None:
    assert rule_on(". ./s", CommandRules(deny=())).verdict == "allow"
    assert rule_on(". ./s", CommandRules(deny=(), otherwise="deny")).verdict == "deny"
