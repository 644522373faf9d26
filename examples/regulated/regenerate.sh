#!/usr/bin/env bash
# Explains the two documents, audits what came of it, and writes their pages beside them.
# Run: make examples-regulated. Minutes on one core; a second run takes the ablations from its store.
set -euo pipefail
cd "$(dirname "$0")/../.."
interplay=${INTERPLAY:-interplay}
out=${OUT:-out/regulated}

explain() { # name, question, response
    "$interplay" text --model smollm2 --threads 1 --file "examples/regulated/$1.txt" \
        --by sentence --question "$2" --response "$3" --target prob \
        --budget 400 --confirm 5 --out "$out/$1"
    "$interplay" verify "$out/$1" --sample 20 --record "$out/$1/verification.json"
    "$interplay" report "$out/$1" -o "examples/regulated/$1.html"
}

explain loan "Therefore: the application of Ms Reed is" " declined"
explain triage "Therefore: the case of Mr Cole is" " urgent"
"$interplay" report "$out/loan" "$out/triage" -o examples/regulated/report.md
