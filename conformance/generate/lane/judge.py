"""What an observer reports about processes that beat through pages, written only from the specification.

It knows kernel-attested datagrams too, as far as a process uses both ways, but not their refusals.
"""

from collections import Counter
from dataclasses import dataclass, field

from causes.watch import Silence, Watch

from . import line
from .label import label_of
from .line import NEVER, PAIRS, PROMISES, Cold, Head, Hot, Info, Invalid, Violation

# A page is not looked at more often.
FLOOR = 10_000_000
# The periods of looks have one of these first digits, so that pages share wake-ups.
PERIODS = (100, 125, 150, 200, 250, 300, 400, 500, 600, 800)
OVER = ("closed", "failed")
# No promise: that its process is read.
EARLY = "early"

# The counters of events about processes and about tasks; beats of processes have two.
COUNTERS = {"stall": "stalls", "recovered": "recoveries", "exit": "exits"}
TASK_COUNTERS = {
    "task": "tasks",
    "ended": "tasks_ended",
    "beat": "task_beats",
    "stall": "task_stalls",
    "recovered": "task_recoveries",
    "violation": "violations",
}


@dataclass
class Page:
    """The lines as the process wrote them, by pair."""

    cold: list[bytes] = field(default_factory=lambda: [bytes(64)] * PAIRS)
    hot: list[tuple[int, ...]] = field(default_factory=lambda: [(0,) * 8] * PAIRS)


@dataclass
class Sign:
    """The last sign of life of a process or a task, and the silence after it."""

    at: int
    given_back: int = 0
    was_given_back: bool = False
    # The promises that were reported as broken.
    late: set[str] = field(default_factory=set)
    # The process executes another program since, so that nothing was reported.
    executed: bool = False


@dataclass
class Agent:
    number: int
    pid: int
    threshold: int
    status: str = "ok"
    nonce: int = 0
    sign: Sign | None = None
    # How many tasks it has had, and how often it has beaten.
    tasks: int = 0
    beats: int = 0
    # When it is read before its silence is reported.
    early: int | None = None


@dataclass
class Task:
    number: int
    cold: Cold
    sign: Sign
    info: Info
    # When each promise is or was due, as far as its line has shown.
    dues: dict[str, int] = field(default_factory=dict)
    violations: int = 0
    # The last checkpoint, and the label of the span that was due last.
    checkpoint: int = 0
    label: int = 0
    # Whether its process is to be read before its silence is reported.
    early: bool = True


# A process, and a copy of the library in it.
Key = tuple[int, int]


@dataclass
class Lane:
    """A page that the observer reads. The times in it are the observer's."""

    pid: int
    copy: int
    page: Page
    nonce: int
    sequence: int = 0
    tasks: dict[int, Task] = field(default_factory=dict)
    # The last sequence that was seen in the line of each pair.
    seen: dict[int, int] = field(default_factory=dict)
    next_look: int = 0
    at: int = 0
    # The nonces of datagrams of the process that are ahead of those in its page.
    heard: list[int] = field(default_factory=list)
    looked: bool = False
    # The pairs of tasks for which there was no room.
    waiting: set[int] = field(default_factory=set)
    # The numbers of tasks whose threads were gone: another thread may still call them.
    gone: dict[int, int] = field(default_factory=dict)
    finest: int = 0
    period: int = 0


class Judge:
    def __init__(self, config: dict) -> None:
        self.threshold, self.pause_after = config["threshold_ns"], config.get("pause_after_ns")
        self.with_tasks = config["tasks"]
        self.capacity = config.get("capacity", 4096)
        self.slack = config.get("task_slack", {})
        self.program_slack = {name[:15]: ns for name, ns in config.get("program_slack", {}).items()}
        # The programs of processes that have a name, and the names that processes declare.
        self.programs: dict[int, str] = {}
        self.names: dict[int, str] = {}
        self.agents: dict[int, Agent] = {}
        # By pid and copy of the library.
        self.lanes: dict[Key, Lane] = {}
        # For how long the system was suspended: the clock of processes stood still.
        self.asleep = 0
        self.numbers = 0
        self.events: list[dict] = []
        self.pause = (0, 0)
        # The threads that are gone, with the pids of their processes.
        self.gone: set[tuple[int, int]] = set()
        # The invalid writes that were counted, by pid, copy, pair and sequence.
        self.invalid: set[tuple[int, int, int, int]] = set()
        self.counters: Counter[str] = Counter()
        self.watch = Watch(self.counters) if config.get("causes") else None

    # What happens.

    def attach(self, now: int, key: Key, page: Page, nonce: int) -> None:
        self.counters["lane_attached"] += 1
        self.lanes[key] = Lane(*key, page, nonce, finest=self.threshold)

    def refuse(self) -> None:
        self.counters["lane_refused"] += 1

    def mapped(self, now: int, key: Key) -> None:
        self.look(now, self.lanes[key])

    def bell(self, now: int, key: Key) -> None:
        self.look(now, self.lanes[key])

    def detach(self, now: int, key: Key) -> None:
        lane = self.lanes[key]
        self.look(now, lane)
        for pair in list(lane.tasks):
            self.end(now, lane, pair, "detached")
        del self.lanes[key]

    def exit(self, now: int, pid: int, **cause: int) -> None:
        if pid not in self.agents:
            return
        for lane in self.lanes_of(pid):
            self.look(now, lane)
            del self.lanes[pid, lane.copy]
        self.say(now, pid, "exit", last_status=self.agents[pid].status, **cause)
        del self.agents[pid]
        if self.watch:
            self.watch.exits(pid)

    def datagram(self, now: int, pid: int, status: str, payload: int, nonce: int, fresh: bool) -> None:
        agent = self.agent(pid)
        lanes = self.lanes_of(pid)
        # The nonces between may be those of beats that are still to be read.
        known = agent.sign and not lanes
        missed = max(0, nonce - agent.nonce - 1) if known else 0
        for lane in lanes:
            lane.heard.append(nonce)
        self.counters.update(received=1, beats=1, missed=missed)
        self.hear(now, agent, now, status, payload, nonce, missed, 1)
        self.learn(now, agent, fresh)

    def late(self, now: int, due: int) -> None:
        if now - due > self.pause_limit():
            self.paused(now, now - due)

    def paused(self, now: int, ns: int) -> None:
        self.pause = (now - ns, now)
        self.say_paused(now, ns)
        for sign in self.signs():
            self.give_back(sign, self.pause)

    def suspended(self, now: int, ns: int) -> None:
        """Nothing in a page came closer to being due; agents without one are given the time back."""
        self.asleep += ns
        if self.watch:
            self.watch.asleep = self.asleep
        self.say_paused(now, ns)
        for agent in self.agents.values():
            if agent.sign and self.lanes_of(agent.pid):
                agent.sign.at += ns
            elif agent.sign:
                self.give_back(agent.sign, (now - ns, now))
        for lane in self.lanes.values():
            lane.at += ns
            for task in lane.tasks.values():
                task.sign.at += ns
                task.dues = {promise: due + ns for promise, due in task.dues.items()}
        # Of an earlier pause the same part lies in each silence as before.
        self.pause = (self.pause[0] + ns, self.pause[1] + ns)

    def say_paused(self, now: int, ns: int) -> None:
        self.counters["pauses"] += 1
        self.events.append({"observer_ns": now, "kind": "paused", "ns": ns})

    def set_threshold(self, now: int, number: int, ns: int) -> None:
        agent = next(agent for agent in self.agents.values() if agent.number == number)
        agent.threshold = ns
        for lane in self.lanes_of(agent.pid):
            self.plan(now, lane)

    def poll(self, now: int) -> None:
        """Looks at each page that is due, and then reports what is overdue, by due."""
        due = [lane for lane in self.lanes.values() if lane.next_look <= now]
        for lane in sorted(due, key=lambda lane: lane.next_look):
            self.look(now, lane)
        while late := [one for one in self.deadlines() if one[0] <= now]:
            _, _, pid, lane, pair, promise = late[0]
            # A process is judged by the newest sign in any of its pages.
            lines = [lane] if lane else self.lanes_of(pid)
            if any([self.read(now, line, pair) for line in lines]):
                continue
            if promise == EARLY:
                self.read_early(now, pid, lane, pair)
            else:
                self.stall(now, pid, lane, pair, promise)
        for silence, why in self.watch.looks_again(now) if self.watch else ():
            tasks = [task for lane in self.lanes_of(silence.pid) for task in lane.tasks.values()]
            task = next((task for task in tasks if task.number == silence.task), None)
            self.say(now, silence.pid, "cause", task, why=why)

    # What an observer does.

    def look(self, now: int, lane: Lane) -> None:
        self.counters["lane_looks"] += 1
        for pair in range(PAIRS) if self.with_tasks else [0]:
            self.read(now, lane, pair)
        lane.looked = True
        # A process that never beat is listed only while it has a task.
        tasks = any(other.tasks for other in self.lanes_of(lane.pid))
        if lane.pid in self.agents and not tasks and self.agents[lane.pid].sign is None:
            del self.agents[lane.pid]
        self.plan(now, lane)
        lane.next_look = first_after(now, lane.period)

    def learn(self, now: int, agent: Agent, fresh: bool) -> None:
        if self.watch:
            self.watch.learns(now, agent.pid, agent.beats, fresh)

    def read_early(self, now: int, pid: int, lane: Lane | None, pair: int) -> None:
        """When half of the time is over, so that there is something to compare with."""
        if lane:
            task = lane.tasks[pair]
            task.early = False
            if min(task.dues.values()) > now:
                self.watch.reads_early(now, pid, task.sign.at)
            return
        agent = self.agents[pid]
        later = agent.early if self.watch.allows(now) else self.watch.next_allowed(now)
        if agent.early < later < agent.sign.at + agent.threshold:
            agent.early = later
            return
        agent.early = None
        self.watch.reads_early(now, pid, agent.sign.at)

    def plan(self, now: int, lane: Lane) -> None:
        """Decides when to look again: at a multiple of a period that many pages share."""
        agent = self.agents.get(lane.pid)
        finest = [agent.threshold if agent else self.threshold]
        finest = min([*finest, *(task.cold.finest_ns for task in lane.tasks.values())])
        if finest // 2 < FLOOR and finest != lane.finest:
            self.counters["lane_raised"] += 1
        lane.finest = finest
        period = max(FLOOR, rounded_down(finest // 2))
        if period != lane.period:
            lane.period, lane.next_look = period, first_after(now, period)

    def read(self, now: int, lane: Lane, pair: int) -> bool:
        """Reads a line, and returns whether it had news."""
        return self.read_task(now, lane, pair) if pair else self.read_process(now, lane)

    def read_process(self, now: int, lane: Lane) -> bool:
        news = self.news(now, lane, 0, lane.sequence)
        if news is None:
            return False
        sequence, hot, info = news
        agent = self.agent(lane.pid)
        # A datagram that was sent later may have been heard before.
        is_older = agent.sign and hot.at < agent.sign.at
        if hot.at < lane.at or (is_older and hot.last <= lane.nonce):
            return False
        lane.sequence, lane.at = sequence, hot.at
        datagrams = [nonce for nonce in lane.heard if nonce <= hot.last]
        count = max(0, hot.last - lane.nonce - len(datagrams))
        lane.nonce, lane.heard = hot.last, [nonce for nonce in lane.heard if nonce > hot.last]
        self.counters["lane_beats"] += count
        self.hear(now, agent, hot.at, info.status, info.payload, hot.last, 0, count)
        if count:
            self.learn(now, agent, True)
        return True

    def read_task(self, now: int, lane: Lane, pair: int) -> bool:
        cold = self.cold(lane, pair)
        if cold is None:
            return False
        task = lane.tasks.get(pair)
        if task and cold.number != task.cold.number:
            self.end(now, lane, pair, cold.ended)
            task = None
        before = lane.seen.get(pair, 0)
        news = self.news(now, lane, pair, before)
        if task:
            news = news if news and news[1].at >= task.sign.at else None
            calls = news[0] - before if news else 0
        else:
            if cold.state != "live" or news is None or self.is_full(lane, pair):
                return False
            task = lane.tasks[pair] = self.begin(now, lane.pid, cold)
            lane.waiting.discard(pair)
            # The first call that was not seen is the declaration. What happened before the first
            # look may have been reported by another observer.
            calls = news[0] - before - 1 if lane.looked else 0
            task.violations = 0 if lane.looked else cold.violations
            if lane.gone.pop(pair, None) == cold.number:
                calls, task.violations = news[0] - before, cold.violations
        if news:
            lane.seen[pair] = news[0]
            self.renew(now, lane.pid, task, news[1], news[2])
        if calls > 0:
            info = task.info
            fields = {"status": info.status, "payload": info.payload, "nonce": 0, "missed": 0}
            self.say(now, lane.pid, "beat", task, **fields, **counted(calls))
        self.violations(now, lane.pid, task, cold)
        if cold.state in OVER:
            self.end(now, lane, pair, cold.state)
            return True
        return news is not None

    def is_full(self, lane: Lane, pair: int) -> bool:
        """Tasks take places of agents, and at most half of them."""
        tasks = sum(len(lane.tasks) for lane in self.lanes.values())
        agents = len(self.agents.keys() | {lane.pid})
        full = tasks >= self.capacity // 2 or agents + tasks >= self.capacity
        if full and pair not in lane.waiting:
            lane.waiting.add(pair)
            self.counters["tasks_without_room"] += 1
        return full

    def begin(self, now: int, pid: int, cold: Cold) -> Task:
        agent = self.agent(pid)
        agent.tasks += 1
        task = Task(agent.tasks, cold, Sign(0), Info())
        self.say(now, pid, "task", task, threshold_ns=cold.threshold_ns)
        return task

    def renew(self, now: int, pid: int, task: Task, hot: Hot, info: Info) -> None:
        """Takes over what the last call wrote."""
        broken = info.broken - {"beat"}
        for promise in PROMISES[1:]:
            if promise in task.sign.late - broken:
                silent = hot.at - task.dues[promise]
                self.say(now, pid, "recovered", task, promise=promise, silent_ns=silent)
        # What the call found broken was due at the call at the latest.
        dues = {promise: min(hot.at, task.dues.get(promise, hot.at)) for promise in broken}
        if info.which and hot.until != NEVER:
            dues.setdefault(info.which, hot.until)
        if not info.idle and task.cold.threshold_ns != NEVER:
            dues.setdefault("beat", hot.at + task.cold.threshold_ns)
        task.sign, task.info, task.dues = Sign(hot.at, late=task.sign.late & broken), info, dues
        self.give_back(task.sign, self.pause)
        task.early = True
        if self.watch and not task.sign.late:
            self.watch.ends(pid, task.number)
        if info.which == "span":
            task.label = info.checkpoint
        else:
            task.checkpoint = info.checkpoint
        if "span" not in dues:
            task.label = 0

    def violations(self, now: int, pid: int, task: Task, cold: Cold) -> None:
        count, last = cold.violations - task.violations, cold.last_violation
        if count and last:
            fields = {"rule": last.rule, "count": count, "from": last.from_, "to": last.to}
            self.say(now, pid, "violation", task, **fields, by=Violation.of_word(last.word()).by)
        task.cold, task.violations = cold, cold.violations

    def end(self, now: int, lane: Lane, pair: int, how: str) -> None:
        task = lane.tasks.pop(pair)
        if self.watch:
            self.watch.ends(lane.pid, task.number)
        self.say(now, lane.pid, "ended", task, how=how)

    def stall(self, now: int, pid: int, lane: Lane | None, pair: int, promise: str) -> None:
        """Reports a broken promise, unless the thread that would have kept it is gone."""
        if lane is None:
            sign = self.agents[pid].sign
            sign.late.add(promise)
            why = self.explain(now, Silence(pid, 0, sign.at, self.agents[pid].threshold, self.told(pid)))
            if why and why["why"]["cause"] == "exec":
                sign.executed = True
                self.watch.ends(pid)
                return
            self.say(now, pid, "stall", last_nonce=self.agents[pid].nonce, last_ns=sign.at, **why)
            return
        task = lane.tasks[pair]
        found_by_thread = promise in task.info.broken
        if (pid, task.cold.thread) in self.gone and not task.cold.roams and not found_by_thread:
            lane.gone[pair] = task.cold.number
            self.end(now, lane, pair, "thread-gone")
            return
        task.sign.late.add(promise)
        place = task.label if promise == "span" else task.checkpoint
        fields = {"last_nonce": 0, "last_ns": task.sign.at, "promise": promise}
        time = min(task.dues.values()) - task.sign.at
        thread = task.cold.thread if task.cold.thread and not task.cold.roams else None
        why = self.explain(now, Silence(pid, task.number, task.sign.at, time, thread))
        self.say(now, pid, "stall", task, **fields, due_ns=task.dues[promise], checkpoint=place, **why)

    def explain(self, now: int, silence: Silence) -> dict:
        return {"why": self.watch.explain(now, silence)} if self.watch else {}

    def told(self, pid: int) -> int | None:
        """The thread that made the last beat, which the page shows."""
        lanes = self.lanes_of(pid)
        newest = max(lanes, key=lambda lane: lane.at, default=None)
        return Head.of_wire(newest.page.cold[0]).thread if newest else None

    def deadlines(self) -> list[tuple[int, int, int, Lane | None, int, str]]:
        """Each deadline, when its line was last heard, and whose it is, with the first to report first.

        The one of a process itself belongs to none of its pages.
        """
        found = []
        for agent in self.agents.values():
            if agent.sign and "beat" not in agent.sign.late:
                due = agent.sign.at + agent.threshold + agent.sign.given_back
                found.append((due, agent.sign.at, agent.pid, None, 0, "beat"))
                if agent.early is not None:
                    found.append((agent.early, agent.sign.at, agent.pid, None, 0, EARLY))
            for lane in self.lanes_of(agent.pid):
                for pair, task in sorted(lane.tasks.items()):
                    for promise in [one for one in PROMISES[1:] if one in task.dues]:
                        # A pause gives no time to a call that was made.
                        more = 0 if promise in task.info.broken else task.sign.given_back
                        due = task.dues[promise] + self.slack_of(agent.pid, task) + more
                        if promise not in task.sign.late:
                            found.append((due, task.sign.at, agent.pid, lane, pair, promise))
                            if self.watch and task.early:
                                half = due - (due - task.sign.at) // 2
                                found.append((half, task.sign.at, agent.pid, lane, pair, EARLY))
        return sorted(found, key=lambda one: one[:2])

    def slack_of(self, pid: int, task: Task) -> int:
        """What is set for the name of a task counts more than what is set for its program."""
        of_program = self.program_slack.get(self.programs.get(pid, "")[:15], 0)
        return self.slack.get(task.cold.name, of_program)

    # How it knows.

    def lanes_of(self, pid: int) -> list[Lane]:
        return [lane for lane in self.lanes.values() if lane.pid == pid]

    def agent(self, pid: int) -> Agent:
        if pid not in self.agents:
            self.numbers += 1
            self.agents[pid] = Agent(self.numbers, pid, self.threshold)
        return self.agents[pid]

    def hear(
        self, now: int, agent: Agent, at: int, status: str, payload: int, nonce: int, missed: int, count: int
    ) -> None:
        if agent.sign is None or at >= agent.sign.at:
            if agent.sign and agent.sign.late:
                if self.watch:
                    self.watch.ends(agent.pid)
                if not agent.sign.executed:
                    self.say(now, agent.pid, "recovered", silent_ns=at - agent.sign.at)
            agent.sign, agent.status = Sign(at), status
            agent.early = at + agent.threshold // 2 if self.watch else None
            self.give_back(agent.sign, self.pause)
        agent.nonce = max(agent.nonce, nonce)
        agent.beats += count
        if count == 0:
            return
        fields = {"status": status, "payload": payload, "nonce": nonce, "missed": missed}
        self.say(now, agent.pid, "beat", **fields, **counted(count))

    def news(self, now: int, lane: Lane, pair: int, seen: int) -> tuple[int, Hot, Info] | None:
        found = line.read(lane.page.hot[pair])
        if found is None or found[0] == seen or found[1].at == 0:
            return None
        sequence, hot = found
        try:
            info = Info.of_word(hot.info)
            farthest = hot.at + line.FARTHEST if pair else 0
            if hot.until > farthest and not (pair and hot.until == NEVER):
                raise Invalid("until")
        except Invalid:
            write = (lane.pid, lane.copy, pair, sequence)
            if write not in self.invalid:
                self.invalid.add(write)
                self.counters["lane_invalid"] += 1
            return None
        until = hot.until + self.asleep if 0 < hot.until < NEVER else hot.until
        return sequence, Hot(min(hot.at + self.asleep, now), until, hot.info, hot.last), info

    def cold(self, lane: Lane, pair: int) -> Cold | None:
        try:
            if not Head.of_wire(lane.page.cold[0]).live >> pair & 1 and pair not in lane.tasks:
                return None
            return Cold.of_wire(lane.page.cold[pair])
        except Invalid:
            return None

    def signs(self) -> list[Sign]:
        tasks = (task.sign for lane in self.lanes.values() for task in lane.tasks.values())
        return [*(agent.sign for agent in self.agents.values() if agent.sign), *tasks]

    def give_back(self, sign: Sign, pause: tuple[int, int]) -> None:
        """A silence is given back, once, the time of it in which the observer was away."""
        begun, ended = pause
        if sign.at < ended and not sign.was_given_back and not sign.late:
            sign.given_back, sign.was_given_back = ended - max(begun, sign.at), True

    def pause_limit(self) -> int:
        if self.pause_after is not None:
            return self.pause_after
        thresholds = [agent.threshold for agent in self.agents.values()]
        return max(50_000_000, min([self.threshold, *thresholds]) // 2)

    def say(self, now: int, pid: int, kind: str, task: Task | None = None, **fields: object) -> None:
        agent = self.agents[pid]
        about = {"agent": agent.number, "pid": pid, "claimed_pid": pid, "origin": "kernel-attested"}
        if label := label_of(self.names.get(pid) or self.programs.get(pid, "")[:15]):
            about["label"] = label
        counter = (TASK_COUNTERS if task else COUNTERS).get(kind)
        if counter:
            self.counters[counter] += fields.get("count", 1)
        if task:
            about |= {"task": task.number, "task_name": task.cold.name}
        self.events.append({"observer_ns": now, "kind": kind, **about, **fields})


def first_after(now: int, period: int) -> int:
    return (now // period + 1) * period


def rounded_down(ns: int) -> int:
    """To one of the periods, times a power of ten."""
    power = 1
    while ns >= 1000 * power:
        power *= 10
    return max((digits for digits in PERIODS if digits * power <= ns), default=0) * power


def counted(count: int) -> dict:
    """A story names the number of beats unless it is 1."""
    return {} if count == 1 else {"count": count}
