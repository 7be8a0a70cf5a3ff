#!/bin/sh
# Runs tests/server once for each server, protocol, decode_responses and client library,
# prints each run's closing line, and fails when one of them failed.
# PYTHON is the interpreter to use; arguments go to pytest.
set -u
cd "$(dirname "$0")/.." || exit 1
PYTHON=${PYTHON:-.venv/bin/python}
failed=
skipped=

run() { # server protocol decode client
    echo "== $1, RESP$2, decode_responses=$3, $4-py"
    REDSET_TEST_SERVER=$1 REDSET_TEST_PROTOCOL=$2 REDSET_TEST_DECODE=$3 \
        REDSET_TEST_CLIENT=$4 \
        "$PYTHON" -m pytest tests/server -q --numprocesses auto --maxprocesses 4 \
        $PYTEST_ARGS || failed="$failed $1:$2:$3:$4"
}

PYTEST_ARGS=$*
run valkey-9.1 2 0 redis
run valkey-9.1 3 0 redis
run valkey-9.1 2 1 redis
run valkey-9.1 3 1 redis
run valkey-9.1 2 0 valkey
run valkey-9.1 3 1 valkey
run redis-6.2 2 0 redis
run redis-6.2 3 1 redis
if sh tests/fetch_redis7.sh .venv/redis-7.0; then
    run redis-7.0 2 0 redis
    run redis-7.0 3 1 redis
else
    skipped=" redis-7.0"
fi
run redis-8.2 2 0 redis
run redis-8.2 3 1 redis

[ -z "$skipped" ] || echo "NOT TESTED, no such server to be had on this machine:$skipped"
[ -z "$failed" ] || { echo "FAILED:$failed"; exit 1; }
