"""Studies of how far Dropbatch scales, what it costs, and how it compares. `docs/scale.md` has the answers.

| study | question | command |
| --- | --- | --- |
| `peers` | Is building requests faster than with the public packages for the Batch API? | `make peers` |
| `simulation` | How long do 10,000 drops a day wait, and how long do the queues grow? | `make simulation` |
| `costs` | What does a day cost on AWS and at OpenAI, and which quota limits it first? | `make costs` |
| `ten_million` | Does a drop of ten million rows come back whole, in which time and memory? | `make scale` |
| `soak` | Do the invariants hold through a month of faults? | `make soak` |

The studies use the inputs of `benchmarks`, its folder and memory in place of AWS, and the fakes of the tests. A figure
with a bound belongs in `benchmarks`.
"""
