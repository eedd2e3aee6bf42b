#!/bin/sh
# toy.sh - a program that Tare knows nothing about, ready for `tare compare`: it makes a folder with metrics.jsonl in it.
#   tare compare examples/compare/toy.sh --vary rate=0.1,0.3,9 --seeds 6 --metric error
# It "learns" the square root of 2 by damped steps from a start that the seed decides. Beyond a rate of 0.7 it diverges.
rate=0.1 steps=20 out='' seed=1
while [ $# -gt 0 ]; do
    case $1 in
    --out) out=$2 ;;
    --seed) seed=$2 ;;
    --rate) rate=$2 ;;
    --steps) steps=$2 ;;
    *) echo "toy.sh: unknown option $1" >&2; exit 2 ;;
    esac
    shift 2
done
mkdir -p "$out" && exec >"$out/metrics.jsonl" || exit 1
echo '{"event":"start"}'
awk -v rate="$rate" -v steps="$steps" -v seed="$seed" 'BEGIN {
    srand(seed); rand(); x = 1 + rand()
    for (i = 1; i <= steps; i++) {
        x -= rate * (x * x - 2)
        error = x - sqrt(2); if (error < 0) error = -error
        if (!(error < 1e6)) { printf "{\"event\":\"diverged\",\"step\":%d}\n", i; exit 3 }
        printf "{\"event\":\"eval\",\"step\":%d,\"error\":%.9g}\n", i, error
    }
    printf "{\"event\":\"end\",\"step\":%d,\"error\":%.9g}\n", steps, error
}'
