"""Commands of development need no question, though policy denies some: who is asked too often reads no question."""

from __future__ import annotations

import pytest

from phasegate.infra.command_rules import rule_on
from phasegate.infra.policy.permissions import CommandRules

EVERY_DAY = r"""
pytest
pytest -q tests/unit -k "push and not pull"
pytest tests/test_git.py::test_push -x --maxfail=1
python -m pytest -q -n 4 --cov=src
.venv/bin/pytest -q
. .venv/bin/activate && pytest
source venv/bin/activate; python -m pip list
python manage.py test
python script.py --verbose
python -m http.server 8000
python -m compileall src
python -m venv .venv
python -m json.tool package.json
cat x.json | python -m json.tool
python --version
python3 -V
python3 -c 'print(1 + 1)'
python3 -c "import sys; print(sys.version)"
python3 -c 'import json; print(json.load(open("package.json"))["version"])'
python3 -c "import mypackage; print(mypackage.__version__)"
python3 -c "from app.models import User; print(User.objects.count())"
python3 -c 'import re; print(re.compile("a").match("abc"))'
python3 -c "import os; print(os.environ.get('HOME'), os.listdir('.'))"
python3 -c "import importlib.metadata as m; print(m.version('pytest'))"
python -m timeit_project
PYTHONPATH=src python -m app
PYTHONDONTWRITEBYTECODE=1 pytest -p no:cacheprovider
python -X dev -W error -m pytest
pip install -e .
pip install -r requirements.txt
pip install -e '.[dev]' --no-deps
pip list --format=json
case "$1" in a|b) pytest ;; *) echo no ;; esac
files=(a.py b.py); ruff check "${files[@]}"
uv sync
uv run pytest
uv pip install ruff
poetry install
poetry run pytest -q
tox -e py312
nox -s tests
ruff check . --fix
ruff format --check
mypy src
pyright
black --check .
isort .
flake8 src tests
pre-commit run --all-files
coverage run -m pytest && coverage report
alembic upgrade head
npm ci
npm install
npm test
npm test -- --watch=false
npm run build
npm run lint -- --fix
npx tsc --noEmit
npx eslint . --ext .ts
npx prettier --check .
npx vitest run
yarn install --frozen-lockfile
yarn test
pnpm -r test
pnpm run build
node index.js
node --test
node --version
node -e "console.log(1)"
node -p "require('./package.json').version"
NODE_ENV=test npm test
NODE_OPTIONS=--max-old-space-size=4096 npm run build
NODE_OPTIONS='--experimental-vm-modules' npx jest
tsc -p tsconfig.json
jest --runInBand
go test ./...
go test -run TestPush -v ./internal/...
go build ./cmd/app
go vet ./...
go mod tidy
gofmt -l .
GOFLAGS=-mod=mod go build
CGO_ENABLED=0 go build -o bin/app
cargo test
cargo build --release
cargo clippy -- -D warnings
cargo fmt --check
RUST_BACKTRACE=1 cargo test push
make
make test
make -j4 check
make -C sub all CC=gcc
CC=clang make
cmake -B build -S . && cmake --build build
ctest --output-on-failure
gcc -O2 -c main.c -o main.o
mvn -q test
./gradlew test
./mvnw verify
gradle build --info
dotnet test
bundle exec rspec
rake test
ruby script.rb
ruby -e 'puts 1'
perl -pi -e 's/old/new/g' file.txt
perl -ne 'print if /x/' file
php artisan test
composer install
sh ./run.sh
sh run-tests.sh report.xml
bash scripts/build.sh --release
bash -c 'cd sub && make'
bash -lc 'pytest -q'
bash -euo pipefail -c 'make test'
sh -c 'ls | wc -l'
bash --version
./run.sh
./scripts/check --fast
ENV=test npm start
ENV=dev pytest
HOME=/tmp pytest
sed -i 's/old/new/g' file.py
sed -n '1,120p' src/app.py
sed -n '10p;20p' f
sed -e 's/a/b/' -e '/^#/d' f
sed '/start/,/end/d' f
sed -E 's#(a|b)+#\1#g' f
sed -i.bak '3i\new line' f
sed '$a last' f
sed 's/e/E/g; s/x/y/' f
sed -n '/def push/,/^$/p' f
sed '1!G;h;$!d' f
sed -n '$=' f
sed 'y/abc/xyz/' f
awk '{print $1}' f
awk -F: '$3 > 100 {print $1, $3}' /etc/passwd
awk '/a|b/ {print}' f
awk 'NR==FNR{a[$1];next} $1 in a' x y
awk '{s+=$1} END {print s}' f
find . -name '*.py'
find . -type f -not -path './.git/*' | head -50
find . -name '*.pyc' -delete
find . -name '*.py' -exec grep -l push {} +
find src -name '*.ts' -print0 | xargs -0 wc -l
find . -name '*.py' | xargs grep -n 'git push'
git ls-files | xargs grep -l TODO
xargs -n1 basename < list
grep -r 'git push' .
grep -rn "push" src | head
rg -n 'git push' --type py
git status
git status --short --branch
git diff
git diff HEAD~1 -- src
git --no-pager diff --stat
git --no-pager log --oneline -20
git log --grep push
git log -S 'git push' -p
git show HEAD:README.md
git show --stat
git blame -L 1,20 f
git branch -a
git stash push -m wip
git stash pop
git add -A
git add -p
git commit -m 'git push is denied'
git -c user.name=a -c user.email=a@b commit -m x
git -c core.pager=cat log
git -c color.ui=never diff
git checkout -b feature
git switch main
git restore .
git reset --hard HEAD
git rebase main
git merge --no-ff feature
git cherry-pick abc
git rev-parse HEAD
git rev-parse --show-toplevel
git ls-files
git grep push
git config user.name
git config --list
git worktree list
git bisect start
git submodule update --init
git tag -l
git remote -v
git describe --tags
git apply x.patch
git format-patch -1
git clean -fdn
git check-ignore -v x
GIT_PAGER=cat git log
GIT_EDITOR=true git rebase --continue
PAGER=cat git diff
env VAR=1 pytest
env -u HOME PYTHONPATH=. python x.py
timeout 60 pytest -q
timeout -k 5 60 npm test
nice -n 5 make
time pytest
nohup ./server > log 2>&1 &
stdbuf -oL python x.py | tee log
setsid ./server
command -v git
command -v docker
which python git
type git
echo "git push"
echo 'run git push later' >> notes.md
printf '%s\n' a b c
printf 'x: $(y)\n'
ls -la
cat README.md
head -50 f; tail -20 f
cd src && ls
mkdir -p a/b && touch a/b/c
cp -r a b
mv a b
rm -rf build
chmod +x run.sh
ln -s a b
wc -l f
diff -u a b
tree -L 2
jq '.scripts' package.json
sort f | uniq -c | sort -rn
tar xzf x.tgz
tar czf x.tgz dir
unzip x.zip
sha256sum f
xxd f | head
tee out < in
test -f x && echo yes
[ -d x ] || mkdir x
[[ "$a" == b ]] && echo c
[[ -n "${a[0]}" ]]
export PYTHONPATH=src
export A=1 B=2; env | sort
set -e; make
set -euo pipefail
for f in *.py; do python "$f"; done
while read -r line; do echo "$line"; done < f
if [ -f x ]; then cat x; fi
f() { echo "$1"; }; f a
trap 'rm -f x' EXIT
x=$(git rev-parse HEAD); echo "$x"
echo $((1 + 2))
sleep 1
kill %1
ps aux | grep python
date +%s
du -sh .
docker-compose --version
psql -c 'select 1'
sqlite3 x.db '.tables'
curl -s http://127.0.0.1:8000/health
""".strip().split("\n")
HEREDOCS = [
    "cat > s.sh <<'EOF'\ngit push\nEOF",
    "python3 - <<'EOF'\nimport json\nprint(json.dumps({}))\nEOF",
    "python3 <<'EOF'\nfrom pathlib import Path\nfor p in Path('src').rglob('*.py'):\n    print(p.name)\nEOF",
    "sed -i '/^import/a\\\nimport os' app.py",
]
UNREAD = ["sh ./run.sh", "./run.sh", "python script.py", "make", "npm test", "tar xf x --to-command=./s"]
"""Programs that run a file of the workspace: no rule looks into it, there the sandbox alone holds."""


@pytest.mark.parametrize("rules", [CommandRules(deny=("git push",)), CommandRules()], ids=["no push", "default"])
@pytest.mark.parametrize("command", [*EVERY_DAY, *HEREDOCS, *UNREAD])
def test_a_command_of_every_day_needs_no_question(command: str, rules: CommandRules) -> None:
    """Mutation tried: each program that is not in a table is asked about."""
    ruling = rule_on(command, rules)
    assert ruling.verdict == "allow", ruling
