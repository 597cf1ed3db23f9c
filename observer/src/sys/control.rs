//! Parses the control data that the kernel sends with a datagram. Reads only the bytes it is
//! given, and accepts any bytes.

/// What the kernel reports about a datagram's sender, in the observer's namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// 0 for a sender that is not visible from here.
    pub(crate) pid: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Credentials {
    /// Whether these are the credentials of a datagram whose sender the kernel has not
    /// recorded. A process whose pid and ids are unknown here looks the same.
    pub(crate) fn is_empty(self) -> bool {
        /// The id that replaces ids that do not exist in the observer's namespace.
        const OVERFLOW: u32 = 65_534;
        self == Self { pid: 0, uid: OVERFLOW, gid: OVERFLOW }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    Credentials(Credentials),
    /// A descriptor, or a negative errno.
    Pidfd(i32),
    /// Descriptors that the sender has attached.
    Rights(Descriptors<'a>),
    /// How many datagrams the socket's queue has dropped so far.
    Overflow(u32),
}

/// The numbers of descriptors.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Descriptors<'a>(&'a [u8]);

impl Iterator for Descriptors<'_> {
    type Item = i32;

    fn next(&mut self) -> Option<i32> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(i32::from_ne_bytes(*number))
    }
}

/// The relevant items; others are skipped.
pub(crate) struct Items<'a> {
    rest: &'a [u8],
}

/// Length, level and type, in the kernel's layout; C libraries declare the length differently.
const HEADER: usize = align(size_of::<usize>() + 2 * size_of::<i32>());

const fn align(length: usize) -> usize {
    length.next_multiple_of(size_of::<usize>())
}

/// The size of an item with this much data.
pub(crate) const fn room_of(data: usize) -> usize {
    HEADER + align(data)
}

pub(crate) const CREDENTIALS_ROOM: usize = room_of(3 * size_of::<u32>());
pub(crate) const NUMBER_ROOM: usize = room_of(size_of::<u32>());

/// Not in libc yet.
pub(crate) const SCM_PIDFD: i32 = 4;

/// Parses control data.
pub(crate) fn items(control: &[u8]) -> Items<'_> {
    Items { rest: control }
}

impl<'a> Items<'a> {
    fn next_raw(&mut self) -> Option<(i32, i32, &'a [u8])> {
        let (length, after) = self.rest.split_first_chunk()?;
        let (level, after) = after.split_first_chunk()?;
        let (kind, _) = after.split_first_chunk()?;
        let length = usize::from_ne_bytes(*length);
        let data = self.rest.get(HEADER..length)?;
        // The last item need not be padded.
        self.rest = self
            .rest
            .get(length.checked_next_multiple_of(size_of::<usize>())?..)
            .unwrap_or_default();
        Some((i32::from_ne_bytes(*level), i32::from_ne_bytes(*kind), data))
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        loop {
            let item = match self.next_raw()? {
                (libc::SOL_SOCKET, libc::SCM_CREDENTIALS, data) => credentials(data),
                (libc::SOL_SOCKET, SCM_PIDFD, data) => {
                    number(data).map(|raw| Item::Pidfd(i32::from_ne_bytes(raw)))
                }
                (libc::SOL_SOCKET, libc::SCM_RIGHTS, data) => {
                    Some(Item::Rights(Descriptors(data)))
                }
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL, data) => {
                    number(data).map(|raw| Item::Overflow(u32::from_ne_bytes(raw)))
                }
                _ => None,
            };
            if item.is_some() {
                return item;
            }
        }
    }
}

fn number(data: &[u8]) -> Option<[u8; 4]> {
    data.first_chunk().copied()
}

fn credentials(data: &[u8]) -> Option<Item<'static>> {
    let (pid, data) = data.split_first_chunk()?;
    let (uid, data) = data.split_first_chunk()?;
    let (gid, _) = data.split_first_chunk()?;
    Some(Item::Credentials(Credentials {
        pid: u32::from_ne_bytes(*pid),
        uid: u32::from_ne_bytes(*uid),
        gid: u32::from_ne_bytes(*gid),
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn item(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
        let mut bytes = (HEADER + data.len()).to_ne_bytes().to_vec();
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.resize(HEADER, 0);
        bytes.extend(data);
        bytes.resize(align(bytes.len()), 0);
        bytes
    }

    fn numbers(numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_ne_bytes()).collect()
    }

    #[test]
    fn room_of_agrees_with_cmsg_space() {
        // SAFETY: computes a number.
        let space = |length| unsafe { libc::CMSG_SPACE(length) };
        for length in 0..64_u32 {
            assert_eq!(room_of(length as usize), space(length) as usize);
        }
    }

    #[test]
    fn items_are_returned_in_the_order_of_the_kernel() {
        let bytes = [
            item(libc::SOL_SOCKET, libc::SCM_CREDENTIALS, &numbers(&[7, 8, 9])),
            item(libc::SOL_IP, libc::SCM_CREDENTIALS, &numbers(&[1, 1, 1])),
            item(libc::SOL_SOCKET, libc::SCM_RIGHTS, &numbers(&[4, 5, 6])),
            item(libc::SOL_SOCKET, SCM_PIDFD, &numbers(&[u32::MAX])),
            item(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &numbers(&[3])),
        ]
        .concat();
        let [credentials, rights, pidfd, overflow] =
            items(&bytes).collect::<Vec<_>>().try_into().unwrap();
        assert_eq!(credentials, Item::Credentials(Credentials { pid: 7, uid: 8, gid: 9 }));
        assert_eq!((pidfd, overflow), (Item::Pidfd(-1), Item::Overflow(3)));
        let Item::Rights(rights) = rights else { panic!("{rights:?}") };
        assert_eq!(rights.collect::<Vec<_>>(), [4, 5, 6]);
    }

    #[test]
    fn a_truncated_item_is_not_returned() {
        let whole = item(libc::SOL_SOCKET, libc::SCM_CREDENTIALS, &numbers(&[7, 8, 9]));
        for length in 0..HEADER + 12 {
            assert_eq!(items(&whole[..length]).next(), None, "{length} bytes");
        }
        let mut short = item(libc::SOL_SOCKET, libc::SCM_CREDENTIALS, &numbers(&[7, 8]));
        short.extend(item(libc::SOL_SOCKET, SCM_PIDFD, &numbers(&[5])));
        assert_eq!(items(&short).collect::<Vec<_>>(), [Item::Pidfd(5)]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_without_panicking(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            items(&bytes).for_each(drain);
        }

        /// Headers that nearly fit reach more code than random bytes.
        #[test]
        fn any_lengths_are_parsed_without_panicking(
            parts in proptest::collection::vec(
                (prop_oneof![0..80_usize, any::<usize>()], 0..2_i32, 0..50_i32,
                 proptest::collection::vec(any::<u8>(), 0..40)),
                0..6,
            ),
        ) {
            let mut bytes = Vec::new();
            for (length, level, kind, data) in parts {
                bytes.extend(length.to_ne_bytes());
                bytes.extend(level.to_ne_bytes());
                bytes.extend(kind.to_ne_bytes());
                bytes.extend(data);
            }
            let most = bytes.len() / HEADER;
            prop_assert!(items(&bytes).inspect(|_| ()).count() <= most);
            items(&bytes).for_each(drain);
        }
    }

    fn drain(item: Item<'_>) {
        if let Item::Rights(rights) = item {
            rights.for_each(drop);
        }
    }
}
