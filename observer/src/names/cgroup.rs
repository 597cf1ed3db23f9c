//! The unit and the container of a process, from the text of /proc/PID/cgroup.

use super::Label;

/// The digits of a container's id that are shown, as `docker ps` does.
const ID_DIGITS: usize = 12;

/// What the control group of a process tells about it. Each is empty if it is not known.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group {
    /// The unit of the system's service manager.
    pub(crate) unit: Label,
    /// The unit of a user's service manager. Users name these.
    pub(crate) user_unit: Label,
    /// The first 12 digits of the container's id.
    pub(crate) container: Label,
}

impl Group {
    /// Parses the whole text of the file. Anything can be in it.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let path = path_in(text);
        let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
        // The control group may be outside of the observer's own.
        let components = components(path).skip_while(|component| *component == b"..");
        Self {
            unit: unit_in(components.clone()),
            user_unit: user_unit_in(components.clone()),
            container: container_in(components),
        }
    }
}

type Components<'a> =
    std::iter::Filter<std::slice::Split<'a, u8, fn(&u8) -> bool>, fn(&&'a [u8]) -> bool>;

fn components(path: &[u8]) -> Components<'_> {
    let is_slash: fn(&u8) -> bool = |byte| *byte == b'/';
    path.split(is_slash).filter(|component| !component.is_empty())
}

/// The path in the hierarchy that service managers use: that of version 2, else the one named
/// systemd, else the longest. The root tells nothing.
fn path_in(text: &[u8]) -> &[u8] {
    let all = || {
        text.split(|byte| *byte == b'\n').filter_map(|line| {
            let mut fields = line.splitn(3, |byte| *byte == b':');
            Some((fields.next()?, fields.next()?, fields.next()?))
        })
    };
    let hierarchies = || all().filter(|(_, _, path)| !matches!(*path, b"" | b"/"));
    let version2 = hierarchies().find(|(id, names, _)| *id == b"0" && names.is_empty());
    let named = || hierarchies().find(|(_, names, _)| *names == b"name=systemd");
    let longest = || hierarchies().max_by_key(|(_, _, path)| path.len());
    version2.or_else(named).or_else(longest).map_or(&[], |(_, _, path)| path)
}

/// The first component after the slices, if it is a unit. This is how systemd finds it.
fn unit_in<'a>(components: impl Iterator<Item = &'a [u8]>) -> Label {
    let mut components = components.skip_while(|component| is_slice(component));
    let unit = components.next().map(unescaped);
    unit.filter(|unit| is_unit(unit)).map_or(Label::EMPTY, Label::exactly)
}

/// The same below a user's service manager or session.
fn user_unit_in<'a>(components: impl Iterator<Item = &'a [u8]>) -> Label {
    let mut components = components.skip_while(|component| is_slice(component));
    match components.next() {
        Some(manager) if is_of_user(manager) => unit_in(components),
        _ => Label::EMPTY,
    }
}

/// Whether this unit of the system holds what a user starts: a session, or a service manager.
pub(super) fn is_of_user(unit: &[u8]) -> bool {
    let between =
        |prefix: &[u8], suffix: &[u8]| unit.strip_prefix(prefix)?.strip_suffix(suffix);
    let user = between(b"user@", b".service");
    user.is_some_and(|user| !user.is_empty() && user.iter().all(u8::is_ascii_digit))
        || between(b"session-", b".scope").is_some_and(|session| !session.is_empty())
}

/// systemd puts this before a name that the kernel uses too.
fn unescaped(component: &[u8]) -> &[u8] {
    component.strip_prefix(b"_").unwrap_or(component)
}

fn is_slice(component: &[u8]) -> bool {
    let component = unescaped(component);
    component.ends_with(b".slice") && !component.contains(&b'@') && is_unit(component)
}

fn is_unit(name: &[u8]) -> bool {
    const TYPES: [&[u8]; 11] = [
        b"service",
        b"socket",
        b"target",
        b"device",
        b"mount",
        b"automount",
        b"swap",
        b"timer",
        b"path",
        b"slice",
        b"scope",
    ];
    let Some(dot) = name.iter().rposition(|byte| *byte == b'.') else { return false };
    let (stem, kind) = (name.get(..dot).unwrap_or_default(), name.get(dot + 1..));
    let is_valid = |byte: &u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(byte);
    !matches!(stem, [] | [b'@', ..])
        && stem.iter().all(is_valid)
        && kind.is_some_and(|kind| TYPES.contains(&kind))
}

/// The outermost container: a process inside can name what is below it.
fn container_in<'a>(components: impl Iterator<Item = &'a [u8]>) -> Label {
    let mut before: &[u8] = b"";
    let mut in_pods = false;
    for component in components {
        in_pods |= component.starts_with(b"kubepods");
        if let Some(id) = container_of(component, before, in_pods) {
            return id.get(..ID_DIGITS).map_or(Label::EMPTY, Label::new);
        }
        before = component;
    }
    Label::EMPTY
}

/// The id, if this component is the control group of a container.
fn container_of<'a>(component: &'a [u8], before: &[u8], in_pods: bool) -> Option<&'a [u8]> {
    const PREFIXES: [&[u8]; 4] = [b"docker-", b"cri-containerd-", b"crio-", b"libpod-"];
    let name = component.strip_suffix(b".scope").unwrap_or(component);
    let prefixed = PREFIXES.iter().find_map(|prefix| name.strip_prefix(*prefix));
    // `kubepods-….slice:cri-containerd:ID`, if the runtime does not use systemd.
    let after_colon = || name.rsplit(|byte| *byte == b':').next().filter(|_| in_pods);
    let is_parent = before == b"docker" || in_pods;
    let id = prefixed.or_else(after_colon).or_else(|| Some(name).filter(|_| is_parent))?;
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (id.len() == 64 && id.iter().all(is_digit)).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4f2a9c01d3e8b7a6050403020100ffeeddccbbaa99887766554433221100abcd";
    const SHORT: &str = "4f2a9c01d3e8";

    /// The text of the file, and unit, unit of the user, and container.
    #[rustfmt::skip]
    const KNOWN: &[(&str, &str, &str, &str)] = &[
        // Services, in version 2, in version 1 with and without a hierarchy of version 2.
        ("0::/system.slice/web.service", "web.service", "", ""),
        ("0::/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service", "", ""),
        ("0::/system.slice/web.service/workers/3", "web.service", "", ""),
        ("0::/init.scope", "init.scope", "", ""),
        ("0::/_cpu.service", "cpu.service", "", ""),
        ("0::/a\\x2db.slice/x.service", "x.service", "", ""),
        ("12:pids:/system.slice/web.service\n1:name=systemd:/system.slice/web.service\n0::/", "web.service", "", ""),
        ("1:name=systemd:/a.service\n0::/b.service", "b.service", "", ""),
        ("0::/b.service\n1:name=systemd:/a.service", "b.service", "", ""),
        ("3:cpu,cpuacct:/a.service\n2:pids:/", "a.service", "", ""),
        ("0::/system.slice/web.service (deleted)", "web.service", "", ""),
        ("0::/../../system.slice/web.service", "web.service", "", ""),
        ("0::/../web.service", "web.service", "", ""),
        // A user's.
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/mine.service", "user@1000.service", "mine.service", ""),
        ("0::/user.slice/user-1000.slice/user@1000.service/init.scope", "user@1000.service", "init.scope", ""),
        ("0::/user.slice/user-1000.slice/user@1000.service", "user@1000.service", "", ""),
        ("0::/user.slice/user-1000.slice/session-3.scope", "session-3.scope", "", ""),
        ("0::/user.slice/user-1000.slice/session-3.scope/x.service", "session-3.scope", "x.service", ""),
        ("0::/system.slice/web.service/fake.service", "web.service", "", ""),
        ("0::/system.slice/user@me.service/fake.service", "user@me.service", "", ""),
        // No units.
        ("", "", "", ""),
        ("0::/", "", "", ""),
        ("1:name=systemd:/\n4:memory:/a.service\n0::/", "a.service", "", ""),
        ("0::", "", "", ""),
        ("0::/..", "", "", ""),
        ("0::/system.slice", "", "", ""),
        ("0::/system.slice/user.slice", "", "", ""),
        ("0::/web.service.d", "", "", ""),
        ("0::/.service", "", "", ""),
        ("0::/@.service", "", "", ""),
        ("0::/a b.service", "", "", ""),
        ("0::/a\u{202e}.service", "", "", ""),
        ("0::/a\x1b.service", "", "", ""),
        ("0::/jobs/web.service", "", "", ""),
        ("no colon\n:\n::\n0:\n0::relative.service", "relative.service", "", ""),
    ];

    #[test]
    fn units_are_found_as_systemd_finds_them() {
        for (text, unit, user_unit, container) in KNOWN {
            for text in [(*text).to_owned(), format!("{text}\n")] {
                let group = Group::parse(text.as_bytes());
                let found = [group.unit, group.user_unit, group.container];
                assert_eq!(
                    found.map(|it| it.to_string()),
                    [*unit, user_unit, container],
                    "{text:?}"
                );
            }
        }
    }

    #[test]
    fn containers_of_all_runtimes_are_found() {
        for path in [
            "/docker/ID",
            "/system.slice/docker-ID.scope",
            "/system.slice/docker-ID.scope/init",
            "/docker/ID (deleted)",
            "/../docker-ID.scope",
            "/machine.slice/libpod-ID.scope/container",
            "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope",
            "/libpod_parent/libpod-ID",
            "/kubepods/burstable/pod0d4c6e3a-1f0b-4d31-9d52-0a1b2c3d4e5f/ID",
            "/kubepods/pod0d4c6e3a/ID",
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1_2.slice/cri-containerd-ID.scope",
            "/kubepods.slice/kubepods-pod1_2.slice/crio-ID.scope",
            "/system.slice/containerd.service/kubepods-besteffort-pod1.slice:cri-containerd:ID",
            // kind: a node in a container, whose pods name themselves.
            "/docker/ID/kubelet/kubepods/pod1/0000000000000000000000000000000000000000000000000000000000000000",
        ] {
            let text = format!("0::{}\n", path.replace("ID", ID));
            assert_eq!(Group::parse(text.as_bytes()).container.as_str(), SHORT, "{path}");
        }
        for path in [
            "/ID",
            "/system.slice/ID.scope",
            "/docker/buildx/ID",
            "/docker/4f2a9c01d3e8",
            "/docker/IDx",
            "/system.slice/docker-IDff.scope",
            "/machine.slice/libpod-conmon-ID.scope",
            "/machine.slice/crio-conmon-ID.scope",
            "/kubepods/pod1",
            "/system.slice/docker-4F2A9C01.scope",
        ] {
            let text = format!("0::{}\n", path.replace("ID", ID));
            assert_eq!(Group::parse(text.as_bytes()).container, Label::EMPTY, "{path}");
        }
    }

    #[test]
    fn a_scope_of_a_container_is_no_unit_and_its_service_is() {
        let scope = format!("0::/system.slice/docker-{ID}.scope");
        assert_eq!(Group::parse(scope.as_bytes()).unit, Label::EMPTY, "too long for a label");
        let service = format!(
            "0::/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:{ID}"
        );
        assert_eq!(Group::parse(service.as_bytes()).unit.as_str(), "containerd.service");
    }

    #[test]
    fn paths_of_any_length_and_bytes_are_parsed() {
        let deep = format!("0::{}/web.service", "/a.slice".repeat(500));
        assert_eq!(Group::parse(deep.as_bytes()).unit.as_str(), "web.service");
        let long = format!("0::/{}.service", "x".repeat(4_000));
        assert_eq!(Group::parse(long.as_bytes()), Group::default());
        for byte in 0..=255 {
            for start in
                [&b"0::/"[..], b"0::/docker/", b"0::/user@1.service/", b"1:name=systemd:"]
            {
                let group = Group::parse(&[start, &[byte; 4_096]].concat());
                let shown = format!("{} {} {}", group.unit, group.user_unit, group.container);
                assert!(!shown.contains(|c: char| c.is_control()), "{byte}");
            }
        }
    }
}
