#!/bin/sh
# Builds $name.wasm: ./build.sh
set -eu
cd "$(dirname "$0")"
name=count-words
border=playbook # or playbook

# The library stands in the project, or beside it.
library=.
[ -d reprise ] || library=..
module=$(mktemp)
trap 'rm -f "$module"' EXIT

flags="-std=c17 -Oz -Wall -Wextra -mexec-model=reactor -I $library -Wl,--strip-all -Wl,-z,stack-size=262144"
sources="src/*.c $library/reprise/json.c $library/reprise/$border.c"

# A clang for WebAssembly with the C library for it (wasi-libc), if there is one.
with_clang() {
    for clang in ${CLANG:-clang-21 clang-20 clang-19 clang-18 clang}; do
        for sysroot in "${WASI_SYSROOT:-/usr}" /usr/share/wasi-sysroot /opt/wasi-sdk/share/wasi-sysroot; do
            [ -f "$sysroot/lib/wasm32-wasi/libc.a" ] && command -v "$clang" >/dev/null || continue
            [ -f "$("$clang" --target=wasm32-wasi -print-libgcc-file-name)" ] || continue
            echo "with $clang and $sysroot" >&2
            "$clang" --target=wasm32-wasi --sysroot="$sysroot" $flags -Wl,--stack-first $sources -o "$module"
            return
        done
    done
    return 77
}

# Zig brings a clang and a C library along. It comes from PyPI, into .zig, where it is not installed.
with_zig() {
    if command -v zig >/dev/null; then
        zig=zig
    else
        venv=${REPRISE_VENV:-.zig}
        [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
        "$venv/bin/python" -c 'import ziglang' 2>/dev/null || "$venv/bin/python" -m pip install --quiet ziglang==0.16.0
        zig="$venv/bin/python -m ziglang"
    fi
    echo "with zig $($zig version)" >&2
    $zig cc -target wasm32-wasi $flags $sources -o "$module"
}

case ${REPRISE_CC:-any} in
clang) with_clang || { [ $? = 77 ] && echo "no clang here has wasi-libc and its own libraries for WebAssembly" >&2; exit 1; } ;;
zig) with_zig ;;
*) with_clang || { [ $? = 77 ] && with_zig; } ;;
esac
# Printing goes nowhere: what there is to say goes through the log, or into the answer.
${REPRISE:-reprise} componentize "$module" --stub-wasi -o "$name.wasm"
