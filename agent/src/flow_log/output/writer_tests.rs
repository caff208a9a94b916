use std::cell::RefCell;
use std::io::Read;
use std::rc::Rc;

use super::super::queue::Limits;
use super::*;

/// Takes so many bytes at each call, and then fails.
struct Script {
    takes: Vec<usize>,
    seen: Rc<RefCell<Vec<String>>>,
}

impl Sink for Script {
    fn write(&mut self, lines: &[u8]) -> Result<(), Broken> {
        let text = String::from_utf8(lines.to_vec()).expect("text");
        self.seen.borrow_mut().push(text.replace('\n', ";"));
        let arrived = if self.takes.is_empty() {
            lines.len()
        } else {
            self.takes.remove(0).min(lines.len())
        };
        if arrived == lines.len() {
            return Ok(());
        }
        let error = ErrorKind::StorageFull.into();
        Err(Broken { arrived, error })
    }

    fn reopen(&mut self) {
        self.seen.borrow_mut().push("reopen".to_owned());
    }
}

#[test]
fn what_could_not_be_written_is_told_once_it_can() {
    let limits = Limits {
        lines: 1000,
        bytes: 1 << 20,
    };
    let queue = Queue::new("test".to_owned(), limits).expect("an eventfd");
    let lost_line = |missing: u64| format!("lost {missing}");
    let seen = Rc::default();
    let sink = Script {
        takes: vec![4, 0, 7, 100],
        seen: Rc::clone(&seen),
    };
    let mut writer = Writer::new("test".to_owned(), &queue, sink, &lost_line);
    let chunk = |writer: &mut Writer<Script>, lines: &str| {
        for line in lines.split_whitespace() {
            queue.put(line.to_owned());
            let Next::Line(line) = queue.next() else {
                panic!("no line");
            };
            writer.tell_gap();
            writer.chunk.line(&line);
        }
        writer.flush();
        let last = seen.borrow().last().cloned();
        (last.expect("written"), writer.gap)
    };
    // Of "a;bb;cc;" the first two characters and two of the next line arrive.
    assert_eq!(chunk(&mut writer, "a bb cc"), ("a;bb;cc;".to_owned(), 2));
    assert_eq!(chunk(&mut writer, "d"), ("lost 2;d;".to_owned(), 3));
    // The line that tells arrives, the next does not.
    assert_eq!(chunk(&mut writer, "e"), ("lost 3;e;".to_owned(), 1));
    assert_eq!(chunk(&mut writer, "f g"), ("lost 1;f;g;".to_owned(), 0));
    assert_eq!(chunk(&mut writer, "h"), ("h;".to_owned(), 0));
    let counters = &queue.counters;
    assert_eq!(
        (
            counters.written.load(Relaxed),
            counters.failed.load(Relaxed)
        ),
        (4, 4)
    );
}

#[test]
fn the_last_attempt_is_at_the_end() {
    let limits = Limits {
        lines: 10,
        bytes: 100,
    };
    let queue = Queue::new("test".to_owned(), limits).expect("an eventfd");
    let seen = Rc::default();
    let sink = Script {
        takes: vec![0],
        seen: Rc::clone(&seen),
    };
    queue.put("a".to_owned());
    queue.reopen();
    queue.close(Instant::now());
    let lost_line = |missing: u64| format!("lost {missing}");
    Writer::new("test".to_owned(), &queue, sink, &lost_line).run();
    assert_eq!(*seen.borrow(), ["reopen", "a;", "lost 1;"]);
}

#[test]
fn a_torn_line_is_ended_before_the_next() {
    let (mut reader, writer) = io::pipe().expect("a pipe");
    let mut stream = Stream::new(File::from(std::os::fd::OwnedFd::from(writer)));
    stream.write(b"a\nb").expect("written");
    // As if the rest of the second line had failed.
    stream.torn = true;
    stream.write(b"c\n").expect("written");
    stream.write(b"d\n").expect("written");
    drop(stream);
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("read");
    assert_eq!(text, "a\nb\nc\nd\n");
}
