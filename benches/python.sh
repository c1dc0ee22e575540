#!/usr/bin/env bash
# Customers per second of SimPy and Ciw on M/M/1 and M/M/8 at a utilisation of 0.8, for comparison with `ratios`.
set -euo pipefail
dir="$(mktemp -d)"
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir"
"$dir/bin/pip" install --quiet simpy ciw
"$dir/bin/python" - <<'PYTHON'
import random
import time

import ciw
import simpy


def with_simpy(servers, customers):
    rng, env = random.Random(42), simpy.Environment()
    resource, sojourns = simpy.Resource(env, capacity=servers), []

    def customer():
        came = env.now
        with resource.request() as request:
            yield request
            yield env.timeout(rng.expovariate(1.0))
        sojourns.append(env.now - came)

    def source():
        for _ in range(customers):
            yield env.timeout(rng.expovariate(0.8 * servers))
            env.process(customer())

    env.process(source())
    env.run()
    return sum(sojourns) / len(sojourns)


def with_ciw(servers, customers):
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(rate=0.8 * servers)],
        service_distributions=[ciw.dists.Exponential(rate=1.0)],
        number_of_servers=[servers],
    )
    ciw.seed(42)
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_customers(customers, method="Finish")
    records = simulation.get_all_records()
    return sum(r.exit_date - r.arrival_date for r in records) / len(records)


for servers in (1, 8):
    for name, run, customers in (("SimPy", with_simpy, 200_000), ("Ciw", with_ciw, 50_000)):
        start = time.process_time()
        mean = run(servers, customers)
        rate = customers / (time.process_time() - start) / 1e6
        print(f"M/M/{servers}  {name:<6} {rate:.3f} M customers/s   mean sojourn {mean:.2f}")
PYTHON
