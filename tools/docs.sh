#!/usr/bin/env bash
# The documentation as a site in site/. What builds it is no part of the locked environment and goes
# into an environment of its own in .cache/docs; the references need the package and what it imports.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/env.sh

builder="mkdocs-material==9.8.2"
site=$CONTIMG_CACHE/docs
if [ "$(cat "$site/builder" 2> /dev/null)" != "$builder" ]; then
    rm -rf "$site"
    python -m venv "$site"
    "$site/bin/python" -m pip --disable-pip-version-check install --quiet "$builder"
    python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
        > "$("$site/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/contimg.pth"
    echo "$builder" > "$site/builder"
fi
NO_MKDOCS_2_WARNING=1 "$site/bin/mkdocs" build --strict "$@"
echo "docs: site/index.html"
