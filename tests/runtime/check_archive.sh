#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: check_archive.sh CC LIBLFM_RUNTIME.A INCLUDE_DIR THIS_DIR
# The runtime needs nothing but the C library, shows nothing but its C
# interface, and a C application links with the plain C driver.
set -eu
cc=$1 archive=$2 include=$3 here=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Undefined in the archive as a whole; C++ names and operators are mangled, the
# helpers of exceptions and statics start with two underscores.
nm -u "$archive" | awk '$1 == "U" { print $2 }' | sort -u > "$work/wanted"
nm --defined-only "$archive" | awk 'NF == 3 { print $3 }' | sort -u > "$work/has"
missing=$(comm -23 "$work/wanted" "$work/has")
bad=$(printf '%s\n' "$missing" |
      grep -E '^(_Z|__cxa|__gxx|_Unwind|__dynamic_cast)' || true)
if [ -n "$bad" ]; then
  echo "the archive needs the C++ library: $bad" >&2
  exit 1
fi

shown=$(readelf -sW "$archive" |
        awk '($5 == "GLOBAL" || $5 == "WEAK") && $6 == "DEFAULT" &&
             $7 != "UND" { print $8 }' | grep -v '^lfm_' || true)
if [ -n "$shown" ]; then
  echo "visible besides the C interface: $shown" >&2
  exit 1
fi

# Every function that the headers declare is there.
for name in $(cat "$include"/lfm/status.h "$include"/lfm/text.h \
                  "$include"/lfm/lfm.h |
              tr '\n' ' ' | sed 's/LFM_API/\n&/g' |
              sed -n 's/^LFM_API[^(]*[ *]\(lfm_[a-z_]*\)(.*/\1/p'); do
  grep -qx "$name" "$work/has" || { echo "missing: $name" >&2; exit 1; }
  echo "$name" >> "$work/declared"
done
test "$(wc -l < "$work/declared")" -ge 40

"$cc" -std=c99 -pedantic -Wall -Werror -I"$include" "$here/plain_c_app.c" \
  "$archive" -lm -lpthread -o "$work/app"
"$work/app" "$work"
if command -v ldd > /dev/null && ldd "$work/app" | grep -q 'libstdc++\|libc++'
then
  echo "the application needs a C++ library" >&2
  exit 1
fi
