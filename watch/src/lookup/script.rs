//! The script, module or archive that an interpreter runs, from its command line.

use std::fs::File;
use std::io::Read;

use varta_observer::Label;

/// What is read of a command line. The script is near its beginning.
const MOST_BYTES: u64 = 16 << 10;

/// What starts a script whose name says more than that of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interpreter {
    Python,
    Node,
    Ruby,
    Perl,
    Php,
    Java,
    Shell,
}

/// Whether a program with this name, as the kernel knows it, may be an interpreter.
pub(crate) fn may_run_script(comm: &[u8]) -> bool {
    // Node names its first thread so.
    comm == b"MainThread" || Interpreter::of(comm).is_some()
}

/// Finds the name of the script of a process. Reading its command line may block.
pub(super) fn find(pid: u32) -> Option<Label> {
    let mut text = Vec::new();
    let file = File::open(format!("/proc/{pid}/cmdline")).ok()?;
    file.take(MOST_BYTES).read_to_end(&mut text).ok()?;
    script_in(&text)
}

/// The script in a command line, whose words end with a NUL each.
fn script_in(text: &[u8]) -> Option<Label> {
    let mut words = text.split(|byte| *byte == 0);
    let interpreter = Interpreter::of(last_part(words.next()?))?;
    let script = interpreter.script(&mut words)?;
    Some(Label::new(script)).filter(|label| !label.is_empty())
}

fn last_part(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

impl Interpreter {
    /// By the name of the program: a login shell's begins with a dash, and many end with a version.
    fn of(program: &[u8]) -> Option<Self> {
        let name = program.strip_prefix(b"-").unwrap_or(program);
        let is_letter = |byte: &u8| !byte.is_ascii_digit() && !b".-".contains(byte);
        let end = name.iter().rposition(is_letter)? + 1;
        Some(match name.get(..end)? {
            b"python" | b"pypy" => Self::Python,
            b"node" | b"nodejs" => Self::Node,
            b"ruby" => Self::Ruby,
            b"perl" => Self::Perl,
            b"php" => Self::Php,
            b"java" => Self::Java,
            b"sh" | b"bash" | b"dash" | b"ash" | b"zsh" | b"ksh" => Self::Shell,
            _ => return None,
        })
    }

    /// The name of what it runs; `None` if that is text on the command line or its input.
    fn script<'a>(self, words: &mut impl Iterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
        while let Some(word) = words.next() {
            if word == b"--" {
                return words.next().map(last_part);
            }
            if word.is_empty() || word == b"-" {
                return None;
            }
            let (b'-', option) = word.split_first()? else {
                // A class of Java has no path.
                return Some(last_part(word));
            };
            if self.runs_text(option) {
                return None;
            }
            if self.names_script(option) {
                return words.next().map(last_part);
            }
            if self.takes_value(option) {
                words.next();
            }
        }
        None
    }

    /// Whether this option, without its first dash, is followed by a text to run.
    fn runs_text(self, option: &[u8]) -> bool {
        match self {
            // One-letter options can stand together, and then this one is the last.
            Self::Python | Self::Shell => !option.starts_with(b"-") && option.ends_with(b"c"),
            Self::Ruby => option.ends_with(b"e") && !option.starts_with(b"-"),
            Self::Perl => option.ends_with(b"e") || option.ends_with(b"E"),
            Self::Php => matches!(option, b"r" | b"-run" | b"S" | b"a"),
            Self::Node => matches!(option, b"e" | b"p" | b"pe" | b"-eval" | b"-print" | b"i"),
            Self::Java => false,
        }
    }

    /// Whether the word after this option is what it runs.
    fn names_script(self, option: &[u8]) -> bool {
        match self {
            Self::Python => !option.starts_with(b"-") && option.ends_with(b"m"),
            Self::Java => matches!(option, b"jar" | b"m" | b"-module"),
            Self::Php => matches!(option, b"f" | b"-file" | b"F"),
            _ => false,
        }
    }

    /// Whether the word after this option belongs to it.
    fn takes_value(self, option: &[u8]) -> bool {
        match self {
            Self::Python => matches!(option, b"W" | b"X" | b"-check-hash-based-pycs"),
            Self::Node => matches!(
                option,
                b"r" | b"-require"
                    | b"-import"
                    | b"-loader"
                    | b"-experimental-loader"
                    | b"C"
                    | b"-conditions"
                    | b"-env-file"
                    | b"-title"
                    | b"-inspect-port"
            ),
            Self::Ruby => matches!(option, b"I" | b"r" | b"C" | b"E" | b"-encoding"),
            Self::Perl => matches!(option, b"I"),
            Self::Php => matches!(option, b"d" | b"c" | b"t" | b"z" | b"-define" | b"-php-ini"),
            Self::Java => matches!(
                option,
                b"cp"
                    | b"classpath"
                    | b"-class-path"
                    | b"p"
                    | b"-module-path"
                    | b"-add-modules"
                    | b"-add-opens"
                    | b"-add-exports"
                    | b"-add-reads"
                    | b"-upgrade-module-path"
                    | b"-limit-modules"
            ),
            Self::Shell => matches!(option, b"o" | b"O" | b"-rcfile" | b"-init-file"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(line: &str) -> String {
        let text: String = line.split(' ').map(|word| format!("{word}\0")).collect();
        script_in(text.as_bytes()).unwrap_or_default().to_string()
    }

    #[test]
    fn the_script_of_every_interpreter_is_found() {
        for (line, name) in [
            ("python3 /srv/app/indexer.py --fast", "indexer.py"),
            ("/usr/bin/python3.11 -u -W ignore app.py", "app.py"),
            ("python -m http.server 80", "http.server"),
            ("python3 -Im gunicorn app", "gunicorn"),
            ("python3 -c print(1) app.py", ""),
            ("python3 -uc x", ""),
            ("python3 - app.py", ""),
            ("python3", ""),
            ("pypy3 -- app.py", "app.py"),
            ("node --max-old-space-size=9 -r dotenv/config /srv/server.js", "server.js"),
            ("node -e 1 x.js", ""),
            ("nodejs dist/index.mjs", "index.mjs"),
            ("ruby -I lib bin/worker", "worker"),
            ("ruby -ne x y", ""),
            ("perl -w -T /usr/sbin/job.pl", "job.pl"),
            ("perl -we x", ""),
            ("php -d memory_limit=1 artisan queue:work", "artisan"),
            ("php8.2 -f job.php", "job.php"),
            ("php -r x", ""),
            ("java -Xmx1g -cp a.jar:b.jar com.example.Main x", "com.example.Main"),
            ("java -jar /opt/web.jar", "web.jar"),
            ("java -p mods -m com.example/com.example.Main", "com.example.Main"),
            ("/bin/sh -e /etc/job.sh", "job.sh"),
            ("bash -o pipefail job", "job"),
            ("-bash", ""),
            ("sh -c true", ""),
            ("bash -lc true", ""),
            ("indexer app.py", ""),
            ("", ""),
            ("python3 \u{1b}[2J\n.py", r"\u{1b}[2J\u{a}.py"),
            ("python3 dir/", ""),
        ] {
            assert_eq!(script(line), name, "{line:?}");
        }
        assert_eq!(script_in(b""), None);
        assert_eq!(script_in(&[0; 100]), None);
        assert_eq!(script_in(b"python3\0\xff.py").unwrap_or_default().as_str(), "\u{fffd}.py");
    }

    #[test]
    fn only_interpreters_are_asked_about() {
        for (comm, may) in [
            ("python3.13", true),
            ("node", true),
            ("MainThread", true),
            ("java", true),
            ("sh", true),
            ("indexer", false),
            ("", false),
            ("3", false),
            ("nodelike", false),
        ] {
            assert_eq!(may_run_script(comm.as_bytes()), may, "{comm}");
        }
    }
}
