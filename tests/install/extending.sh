#!/bin/sh
# extending.sh SOURCE BUILD - does what docs/extending.md says, as it stands there, in a clone's place and a home of its own:
#   c        blocks are pieces of the example plugins
#   sh       blocks run, and succeed
#   console  blocks: each command after a $ prints the lines below it (these may be parts of what it prints)
set -eu
source=$1 build=$2
[ -d /usr/share/datasets/fashion-mnist ] || { echo "no Fashion-MNIST here: skipped"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/clone" "$work/blocks"
ln -s "$build" "$work/clone/build"
ln -s "$source/examples" "$work/clone/examples"
cat "$source"/examples/plugin/*.c >"$work/examples"

# blocks/NUMBER.LANGUAGE, in the order of the page
awk -v folder="$work/blocks/" '
    /^```/ { inside = !inside; if (inside) { file = sprintf("%s%03d.%s", folder, ++n, substr($0, 4)) } else { close(file) } next }
    inside { print >file }' "$source/docs/extending.md"

commands=$work/commands
echo "set -eu" >"$commands"
c=0 sh=0 console=0
for block in "$work"/blocks/*; do
    case $block in
    *.c)
        c=$((c + 1))
        awk 'FNR == NR { all = all $0 "\n"; next } { part = part $0 "\n" } END { exit index(all, part) == 0 }' \
            "$work/examples" "$block" || { echo "this code is not in examples/plugin any more:"; cat "$block"; exit 1; }
        ;;
    *.sh)
        sh=$((sh + 1))
        cat "$block" >>"$commands"
        ;;
    *.console)
        console=$((console + 1))
        sed -n 's/^\$ //p' "$block" >"$block.run"
        grep -v '^\$ ' "$block" >"$block.want"
        {
            echo "sh '$block.run' >'$block.out' 2>&1 || true"
            echo "while IFS= read -r line; do"
            echo "    grep -qF -e \"\$line\" '$block.out' || { cat '$block.run' '$block.out'; echo \"missing: \$line\"; exit 1; }"
            echo "done <'$block.want'"
        } >>"$commands"
        ;;
    *) echo "a block in a language unknown here: $block"; exit 1 ;;
    esac
done
[ "$c" -ge 6 ] && [ "$sh" -ge 5 ] && [ "$console" -ge 5 ] || { echo "blocks were not found: $c c, $sh sh, $console console"; exit 1; }

cd "$work/clone"
unset LD_LIBRARY_PATH
HOME=$work sh "$commands" >"$work/log" 2>&1 || { tail -n 60 "$work/log"; exit 1; }
[ -s "$work/norms/run/best.safetensors" ] && [ -s "$work/norms/both/best.safetensors" ] || { echo "nothing was trained"; exit 1; }
grep -q '"'"$work"'/norms/mynorm.so"' "$work/norms/run/config.json"
lines=$(wc -l <"$source/examples/plugin/mynorm.c")
[ "$lines" -lt 50 ] || { echo "examples/plugin/mynorm.c has $lines lines; the page promises a norm in fifty"; exit 1; }
echo "$c pieces of code, $sh + $console blocks of commands: all as the page says"
