#!/bin/sh
# make_runs.sh SOURCE FOLDER - run folders with all that a report can show, made up: FOLDER/runs/*. No training is needed.
set -eu
source=$1 out=$2

config() { # config PROGRAM NORM
    cat <<END
{"program": "$1", "version": "0.1.0", "command": "tare $1 --norm $2 --data '<b>&amp;'",
 "written": "2025-01-31T12:00:00Z", "options": {"norm": "$2", "data": "</script><script>alert(1)</script>", "epochs": 3, "plugin": []},
 "machine": {"cpu": "a processor", "cores": 2, "threads": 2, "isa": "avx2", "blas": "OpenBLAS", "memory": 8589934592}}
END
}

curves() { # curves STEPS: a loss that falls, an accuracy that rises, what layers do
    awk -v steps="$1" 'BEGIN {
        print "{\"event\":\"start\",\"parameters\":104426}"
        for (i = 1; i <= steps; i++) {
            printf "{\"event\":\"train\",\"step\":%d,\"loss\":%s,\"lr\":%g,\"grad_norm\":%g,\"seconds\":%g}\n", i,
                i % 50 == 7 ? "null" : 2.3 * exp(-i / 80) + 0.1 + 0.02 * sin(i), 1e-3 * (1 - i / steps), 5 / i, i * 0.01
            if (i % 40 == 0) printf "{\"event\":\"epoch\",\"step\":%d,\"epoch\":%d,\"test_loss\":%g,\"test_accuracy\":%g,\"seconds\":%g}\n",
                i, i / 40, 2 * exp(-i / 90) + 0.2, 1 - exp(-i / 60), i * 0.01
            if (i % 20 == 0) for (k = 0; k < 6; k++) {
                printf "{\"event\":\"norm_stats\",\"step\":%d,\"layer\":\"block%d.norm\",\"kind\":\"batch_norm\",", i, k
                printf "\"in_mean\":%g,\"in_var\":%g,\"out_mean\":%g,\"out_var\":%g}\n", sin(i + k), k + i / 50, 0, 1
                printf "{\"event\":\"weight_stats\",\"step\":%d,\"parameter\":\"block%d.weight\",\"grad_norm\":%g,\"sigma\":%g}\n", i, k,
                    exp(-k), 1 + k + i / 100
            }
        }
        printf "{\"event\":\"end\",\"step\":%d,\"test_accuracy\":0.9,\"best\":0.91,\"seconds\":%g,\"peak_bytes\":61865984}\n", steps, steps * 0.01
    }'
}

classifier="$out/runs/classifier <i>&\"x\""
mkdir -p "$classifier"
config mnist gn:8 >"$classifier/config.json"
curves 400 >"$classifier/metrics.jsonl"
printf 'layer   what\nconv    conv2d 3x3\n' >"$classifier/summary.txt"
cat >"$classifier/confusion.json" <<'END'
{"classes": ["<u>shirt</u>", "coat", "bag"], "counts": [[8, 2, 0], [1, 9, 0], [0, 0, 0]], "channels": 1, "height": 2, "width": 2,
 "mistakes": [{"index": 4, "label": 0, "said": 1, "probability": 0.987, "pixels": "00ff7f80"}]}
END

gan=$out/runs/gan
mkdir -p "$gan/samples"
config gan sn >"$gan/config.json"
for step in 100 200; do
    cp "$source/examples/mnist/sneaker.png" "$gan/samples/step-$step.png"
    echo "{\"event\":\"sample\",\"step\":$step,\"file\":\"samples/step-$step.png\"}"
    echo "{\"event\":\"eval\",\"step\":$step,\"coverage\":0,\"d_loss\":0.5,\"g_loss\":-0.25,\"frechet\":$((4000 / step)),\"sigma\":[1,1.5,2],\"seconds\":$step}"
done >"$gan/metrics.jsonl"
echo '{"event":"nonfinite","step":201,"reason":"the loss is nan"}' >>"$gan/metrics.jsonl"

text=$out/runs/text
mkdir -p "$text"
for step in 0 10 20; do
    echo "{\"event\":\"eval\",\"step\":$step,\"val_loss\":$((30 - step)),\"seconds\":$step}"
    echo "{\"event\":\"sample\",\"step\":$step,\"text\":\"ROMEO:\\n<b>But</b>, soft! & \\\"what\\\" light\"}"
done >"$text/metrics.jsonl"

# Two norms at two batch sizes, two seeds; one run has diverged, one is missing.
comparison=$out/runs/comparison
mkdir -p "$comparison"
run() { # run NORM BATCH SEED STATUS VALUE
    folder="norm=$1,batch=$2/seed-$3"
    printf '{"seed":%d,"status":"%s",%s"folder":"%s","reason":"<b>&","seconds":1.5}' "$3" "$4" "${5:+\"value\":$5,}" "$folder"
    [ "$4" != missing ] || return 0
    mkdir -p "$comparison/$folder"
    config mnist "$1" >"$comparison/$folder/config.json"
    curves $((100 + 20 * $3)) >"$comparison/$folder/metrics.jsonl"
}
cell() { # cell ID NORM BATCH RUNS STATS
    printf '{"id":%d,"at":["%s","%s"],"name":"x","runs":[%s],"stats":{"n":2,%s}}' "$1" "$2" "$3" "$4" "$5"
}
good='"ok":2,"mean":0.85,"sd":0.07,"low":0.2,"high":1.2,"best":0.9,"seconds":1.5,"peak_bytes":61865984'
cat >"$comparison/comparison.json" <<END
{"format":"tare-comparison","format_version":1,"version":"0.1.0","command":"tare compare mnist --vary 'norm=bn,<i>'","program":"mnist",
 "state":"partial","machine":{"cpu":"a processor","cores":2},"metric":{"name":"test_accuracy","up":true},"fixed":{"epochs":"2","quiet":""},
 "budget":{"epochs":"2"},"axes":[{"key":"norm","values":["bn","<i>"]},{"key":"batch","values":["8","64"]}],"compared":"norm",
 "seeds":[1,2],"alpha":0.05,"seeds_needed":6,
 "tune":{"key":"lr","values":["1e-3","3e-3"],"seed":0,"cells":[]},
 "cells":[$(cell 0 bn 8 "$(run bn 8 1 ok 0.8),$(run bn 8 2 ok 0.9)" "$good"),
  $(cell 1 bn 64 "$(run bn 64 1 ok 0.8),$(run bn 64 2 missing)" '"ok":1,"missing":1,"mean":0.8,"best":0.8'),
  $(cell 2 '<i>' 8 "$(run '<i>' 8 1 ok 0.7),$(run '<i>' 8 2 ok 0.75)" "$good"),
  $(cell 3 '<i>' 64 "$(run '<i>' 64 1 diverged),$(run '<i>' 64 2 crashed)" '"ok":0,"diverged":1,"crashed":1')],
 "pairs":[{"a":"bn","b":"<i>","at":["8"],"cells":[0,2],"n":2,"tested":2,"difference":0.125,"low":-0.2,"high":0.4,"p":0.5,"exact":true,
  "p_holm":0.5,"wins":2,"losses":0,"ties":0,"better":"bn"},
  {"a":"bn","b":"<i>","at":["64"],"cells":[1,3],"n":0,"exact":false,"wins":1,"losses":0,"ties":1}],
 "rankings":[{"at":["8"],"order":[{"cell":0,"value":"bn","groups":"a"},{"cell":2,"value":"<i>","groups":"b"}]},
  {"at":["64"],"order":[{"cell":1,"value":"bn","groups":"a"},{"cell":3,"value":"<i>","groups":"a"}]}]}
END

mkdir -p "$out/runs/begun" # of which nothing is known yet
config mnist bn >"$out/runs/begun/config.json"
: >"$out/runs/begun/metrics.jsonl"
