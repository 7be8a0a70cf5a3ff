#!/bin/sh
# Puts Debian's redis-server 7.0 into the directory $1, without installing or starting anything.
# Exits 1, saying so, where it can't be had. An unpacked copy or one on PATH is used as it is.
set -u
target=$1

is_7_0() { "$1" --version 2>/dev/null | grep -q "v=7\.0\."; }

is_7_0 "$target/redis-server" && exit 0
if is_7_0 redis-server; then
    mkdir -p "$target"
    ln -sf "$(command -v redis-server)" "$target/redis-server"
    exit 0
fi

unpack() {
    rm -rf "$target"
    mkdir -p "$target/debs" || return 1
    chmod a+rwx "$target/debs" # apt's own user writes there
    (
        cd "$target/debs" || exit 1
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
    rm -rf "$target/debs"
}

if command -v apt-get >/dev/null && command -v dpkg >/dev/null && unpack &&
    is_7_0 "$target/redis-server"; then
    exit 0
fi
rm -rf "$target"
echo "!! Redis 7.0 can't be had here: no redis-server 7.0 on PATH, and no Debian package of it." >&2
exit 1
