"""What is published, in which order, and what becomes of it when a part fails."""

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import BEAT, SERVERS, WATCH, Fleet, id_of, stored, wait_until


@pytest.mark.parametrize("server", SERVERS, ids=lambda path: path.parent.name)
def test_each_transition_is_published_once_and_in_order(fleet: Fleet, server: Path) -> None:
    fleet.server(program=server)
    fleet.write(500)
    fleet.relay()
    recorded = fleet.transitions()
    published = stored(fleet, "varta.event.>", len(recorded))
    assert [it.members for it in published] == recorded
    assert [it.id for it in published] == [id_of(it) for it in recorded]
    for it in published:
        program = it.members.get("program", "").replace(".", "%2E") or "_"
        assert it.subject == f"varta.event.web1.{program}.{it.members['event']}"
    without_batches = "later ones may be stored before it" in fleet.log()
    assert without_batches == (server != SERVERS[0])


def test_the_states_are_those_after_the_last_transition_of_each_agent(fleet: Fleet) -> None:
    fleet.server()
    # The first 20 agents have exited, 20 are stalled.
    fleet.write(1 + 100 + 40)
    relay = fleet.relay()
    states = {it.members["agent"]: it for it in stored(fleet, "varta.state.>", 40)}
    fleet.wait_for_metric("waiting_messages", lambda waiting: waiting == 0)
    states = {it.members["agent"]: it for it in stored(fleet, "varta.state.>", 40)}
    assert [states[agent].members["state"] for agent in range(1, 41)] == ["exited"] * 20 + ["stalled"] * 20
    run = fleet.recorded()[0]["run"]
    assert states[40].subject == f"varta.state.web1.program%2E1.{run}-40"
    # The relay still knows what it has left when it is started again after the next run began.
    relay.terminate()
    assert relay.wait() == 0
    fleet.write(21)
    fleet.relay()
    states = stored(fleet, "varta.state.>", 60)
    fleet.wait_for_metric("waiting_messages", lambda waiting: waiting == 0)
    states = stored(fleet, "varta.state.>", 60)
    found = {(it.members["run"] == run, it.members["agent"]): it.members["state"] for it in states}
    assert {found[True, agent] for agent in range(21, 41)} == {"gone"}
    assert {found[True, agent] for agent in range(1, 21)} == {"exited"}
    assert {found[False, agent] for agent in range(1, 21)} == {"running"}


def test_without_a_stream_the_relay_says_what_to_do_and_goes_on_once_there_is_one(
    fleet: Fleet,
) -> None:
    fleet.server()
    fleet.write(50)
    relay = fleet.relay(create_stream=False)
    wait_until("a warning", lambda: "start varta-relay with --create-stream" in fleet.log())
    assert relay.poll() is None
    fleet.create_stream("EVENTS", ["varta.event.>"])
    fleet.create_stream("STATES", ["varta.state.>"])
    recorded = fleet.transitions()
    published = stored(fleet, "varta.event.>", len(recorded))
    assert [it.members for it in published] == recorded
    assert fleet.metric("refused_total") >= 1
    assert "created" not in fleet.log()


def test_a_full_stream_is_waited_for_without_losing_the_order(fleet: Fleet) -> None:
    fleet.server()
    fleet.create_stream("STATES", ["varta.state.>"])
    fleet.create_stream("EVENTS", ["varta.event.>"], max_msgs=30, discard="new")
    fleet.write(100)
    fleet.relay(create_stream=False)
    wait_until("a warning", lambda: "maximum messages exceeded" in fleet.log())
    recorded = fleet.transitions()
    fleet.update_stream("EVENTS", ["varta.event.>"], max_msgs=10_000, discard="new")
    published = stored(fleet, "varta.event.>", len(recorded))
    assert [it.members for it in published] == recorded


def test_nothing_is_stored_after_a_message_that_is_refused_in_the_middle(
    fleet: Fleet, tmp_path: Path
) -> None:
    fleet.server()
    limits = {"allow_batched": True, "discard": "new", "discard_new_per_subject": True}
    subjects = ["varta.event.>"]
    # The limit is reached within the first transitions of 20 agents, of three programs. Those
    # of other kinds come later, and there would be room for them.
    fleet.create_stream("EVENTS", subjects, **limits, max_msgs_per_subject=5)
    fleet.create_stream("STATES", ["varta.state.>"])
    other = Fleet(tmp_path / "other")
    other.port = fleet.port
    hosts = {"web1": fleet, "web2": other}
    recorded = {}
    try:
        for host, it in hosts.items():
            it.write(1_000, host=host)
            it.relay(create_stream=False)
            recorded[host] = it.transitions()
        for it in hosts.values():
            wait_until("a warning", lambda: "maximum messages per subject exceeded" in it.log())
            assert it.metric("refused_total") > 0
        first = [it.id for it in stored(fleet, "varta.event.>", 1)]
        for host in hosts:
            ids = [id_of(it) for it in recorded[host][:16]]
            assert [it for it in first if it.startswith(host)] == ids
        fleet.update_stream("EVENTS", subjects, **limits, max_msgs_per_subject=1_000)
        published = stored(fleet, "varta.event.>", sum(map(len, recorded.values())))
        for host in hosts:
            members = [it.members for it in published if it.members["host"] == host]
            assert members == recorded[host]
    finally:
        other.kill_all()


def test_records_that_were_removed_before_they_were_published_are_reported_as_lost(
    fleet: Fleet,
) -> None:
    fleet.server()
    fleet.write(50)
    relay = fleet.relay()
    before = stored(fleet, "varta.event.>", len(fleet.transitions()))
    fleet.wait_for_metric("waiting_messages", lambda waiting: waiting == 0)
    relay.terminate()
    assert relay.wait() == 0
    # The second run is removed before the relay is there again.
    for _ in range(2):
        fleet.write(50)
    segments = sorted(fleet.history.glob("*.*"))
    segments[-2].unlink()
    fleet.relay()
    published = stored(fleet, "varta.event.>", len(before) + 41)
    lost, *after = published[len(before) :]
    assert lost.members["event"] == "lost" and lost.subject == "varta.event.web1._.lost"
    assert [it.members for it in after] == fleet.transitions()[-len(after) :]
    assert fleet.metric("overtaken_total") == 1


def test_a_relay_without_a_server_shows_how_far_behind_it_is(fleet: Fleet) -> None:
    fleet.write(50)
    relay = fleet.relay()
    fleet.wait_for_metric("behind_seconds", lambda behind: behind > 1)
    assert fleet.metric("connected") == 0
    assert fleet.log().count("cannot connect") == 1, "each reason is logged once"
    fleet.server()
    fleet.wait_for_metric("behind_seconds", lambda behind: behind == 0)
    fleet.wait_for_metric("published_total", lambda published: published > 50)
    assert relay.poll() is None


def test_each_transition_arrives_in_order_although_everything_is_killed(
    fleet: Fleet, pytestconfig: pytest.Config
) -> None:
    kills = pytestconfig.getoption("--kills")
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    socket = fleet.folder / "varta.sock"

    def daemon() -> subprocess.Popen[bytes]:
        # Each beat of an agent comes too late, and leads to a stall and a recovery.
        return fleet.start(
            WATCH, "--socket", socket, "--threshold-ms", "20", "--host", "web1",
            "--history-dir", fleet.history,
        )  # fmt: skip

    starts = {"server": fleet.server, "relay": fleet.relay, "daemon": daemon}
    # Much is under way whenever something is killed.
    fleet.write(5_000)
    running = {name: start() for name, start in starts.items()}
    wait_until("the daemon", socket.exists)
    for _ in range(5):
        fleet.start(BEAT, socket, "--every", "50", "1000000")
    fleet.wait_for_metric("published_total", lambda published: published > 0)
    for _ in range(kills):
        time.sleep(chance.uniform(0.05, 0.5))
        victims = chance.sample(sorted(starts), chance.choice([1, 2, 3]))
        if "server" in victims:
            # What is sent from now on is lost.
            running["server"].send_signal(signal.SIGSTOP)
            time.sleep(chance.uniform(0, 0.5))
        for name in victims:
            running[name].kill()
            running[name].wait()
        for name in victims:
            running[name] = starts[name]()
    running["daemon"].kill()
    running["daemon"].wait()
    recorded = fleet.transitions()
    ids = [id_of(it) for it in recorded]
    assert len({it["run"] for it in recorded}) > 2
    of_agents = [it["event"] for it in recorded if it["run"] != recorded[0]["run"]]
    assert {"stall", "recovered", "started"} <= set(of_agents)

    def arrived() -> list[str | None] | None:
        found = [it.id for it in stored(fleet, "varta.event.>", len(ids))]
        return found if ids[-1] in found else None

    published = wait_until("the last transition", arrived)
    # A message may be stored again if the server has forgotten it, but then with the same id.
    assert list(dict.fromkeys(published)) == ids
    print(f"{len(ids)} transitions, {len(published) - len(ids)} duplicates")
