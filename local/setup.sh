#!/bin/sh
# Installs what the project needs into its own folders, and mends what is broken; at once where there is nothing to do.
#
#   .local/uv          uv, which installs the rest
#   .venv              the project's packages, as uv.lock pins them
#   .local/ministack   the embedded AWS; it pins its own botocore, so that it lives apart
#   .local/sam         AWS SAM, which builds and deploys
#   .local/airflow     Airflow, in which a test runs its example: with the argument `tests` only
set -eu
cd "$(dirname "$0")/.."

UV=0.13.9
MINISTACK='ministack[full]==1.5.33'
SAM='aws-sam-cli==1.170.0'
AIRFLOW='apache-airflow==3.3.2'

usable() { # is this a Python that the project runs on?
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null
}

python=
for candidate in .venv/bin/python python3 python3.13 python3.12 python3.11 python3.14; do
    if usable "$candidate"; then
        # The real one: a virtual environment may go.
        python=$("$candidate" -c 'import os, sys; print(os.path.realpath(sys.executable))')
        break
    fi
done
if [ -z "$python" ]; then
    echo "Python 3.11, 3.12, 3.13 or 3.14 is needed, and none is on the PATH: install one, e.g. from python.org." >&2
    exit 1
fi

# Each environment bears a stamp of what it was made of, and where: its scripts name their interpreter by its full path.
stamp() { echo "$PWD $python $*"; }
stands() { # <folder> <program in it> <stamp>
    [ -x "$1/bin/$2" ] && usable "$1/bin/python" && [ "$(cat "$1/.dropbatch" 2>/dev/null)" = "$3" ]
}
told=
tell() {
    [ -n "$told" ] || echo "Setting up; the first time this downloads a few hundred MB, and takes a few minutes."
    told=yes
    echo "  $1"
}

mkdir -p .local
want=$(stamp "$UV")
if ! stands .local/uv uv "$want"; then
    tell "uv $UV, the installer …"
    rm -rf .local/uv
    "$python" -m venv .local/uv || {
        echo "$python cannot make virtual environments: install its venv module (Debian: apt install python3-venv)." >&2
        exit 1
    }
    .local/uv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$UV"
    echo "$want" > .local/uv/.dropbatch
fi
uv=.local/uv/bin/uv
unset VIRTUAL_ENV

want=$(stamp "$(cat uv.lock pyproject.toml | cksum)")
if ! stands .venv pytest "$want"; then
    tell "the project's packages, as uv.lock pins them …"
    usable .venv/bin/python || rm -rf .venv
    $uv sync --quiet --frozen --python "$python"
    echo "$want" > .venv/.dropbatch
fi

install() { # <folder> <program> <what it is> <requirement>...
    folder=.local/$1 program=$2 what=$3
    shift 3
    want=$(stamp "$*")
    stands "$folder" "$program" "$want" && return
    tell "$what …"
    rm -rf "$folder"
    $uv venv --quiet --no-project --python "$python" "$folder"
    $uv pip install --quiet --python "$folder/bin/python" "$@"
    echo "$want" > "$folder/.dropbatch"
}
install ministack ministack "ministack, the embedded AWS" "$MINISTACK" boto3
install sam sam "AWS SAM, which builds and deploys" "$SAM"
if [ "${1-}" = tests ]; then
    install airflow airflow "Airflow, in which a test runs its example" "$AIRFLOW"
fi
[ -z "$told" ] || echo "Set up."
