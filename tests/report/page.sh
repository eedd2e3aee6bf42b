#!/bin/sh
# page.sh SOURCE BUILD - reports in headless Chromium, on a desk, on a phone and on paper: nothing on the console, every chart drawn,
# every button works (probe.js). Skipped (77) where there is no Chromium.
set -eu
source=$1 build=$2
browser=$(command -v chromium || command -v chromium-browser || true)
if [ -z "$browser" ]; then
    echo "skipped: no chromium here; script/setup report installs it"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sh "$source/tests/report/make_runs.sh" "$source" "$work"

look() { # look OPTION... PAGE: opens it and waits until nothing moves any more
    timeout 100 "$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --user-data-dir="$work/profile" \
        --virtual-time-budget=8000 --enable-logging=stderr "$@" 2>"$work/log"
}
fail() {
    echo "$1"
    exit 1
}
for folder in "$work"/runs/*; do
    name=$(basename "$folder")
    "$build/bin/tare-report" "$folder" --quiet
    { cat "$folder/report.html" && printf '<script>\n' && cat "$source/tests/report/probe.js" && printf '</script>\n'; } >"$work/page.html"
    for width in 1200 375; do
        look --window-size=$width,900 --dump-dom "file://$work/page.html" >"$work/dom.html"
        told=$(grep -o 'data-probe="[^"]*"' "$work/dom.html") || fail "$name, $width pixels: the page did not come to its end: $(cat "$work/log")"
        [ "$told" = 'data-probe="ok"' ] || fail "$name, $width pixels: $told"
        if grep 'CONSOLE' "$work/log"; then fail "$name, $width pixels: something on the console"; fi
    done
    look --print-to-pdf="$work/page.pdf" "file://$work/page.html"
    [ "$(head -c 5 "$work/page.pdf")" = "%PDF-" ] || fail "$name: cannot be printed"
    echo "$name: $(grep -o 'data-drawn="[1-9]' "$work/dom.html" | wc -l) charts"
done
