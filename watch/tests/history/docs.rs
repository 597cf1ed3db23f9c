//! The commands in docs/history.md print what the page shows.

use super::{Folder, history, story};

const PAGE: &str = include_str!("../../../docs/history.md");

#[test]
fn the_commands_in_the_docs_print_what_the_page_shows() {
    let folder = Folder::new();
    story::three_minutes(folder.path());
    let mut checked = 0;
    for block in PAGE.split("```console\n").skip(1) {
        let block = block.split_once("```").unwrap().0;
        for command in block.split("$ varta-watch history").skip(1) {
            let (arguments, expected) = command.split_once('\n').unwrap();
            let arguments: Vec<_> = arguments.split('\'').enumerate().collect();
            // Only what is between quotes has spaces.
            let arguments: Vec<_> = arguments
                .into_iter()
                .flat_map(|(part, text)| match part % 2 {
                    0 => text.split_whitespace().collect(),
                    _ => vec![text],
                })
                .collect();
            let output = history(folder.path(), &arguments);
            let text = String::from_utf8_lossy(&output.stdout);
            assert_eq!(text.trim_end(), expected.trim_end(), "{arguments:?}: {output:?}");
            checked += 1;
        }
    }
    assert_eq!(checked, 3);
}
