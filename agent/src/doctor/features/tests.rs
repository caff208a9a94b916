use super::super::Level;
use super::*;

#[test]
fn what_is_missing_is_named() {
    let refusal = || NetlinkError::Refused {
        command: "add rule".to_owned(),
        reason: "No such file or directory".to_owned(),
        errno: 2,
        others: 0,
    };
    let find = |words: &str| {
        let found = features().into_iter().find(|f| f.what.contains(words));
        found.expect("a feature")
    };
    let rows = [
        ("ct state", Level::Error, "CONFIG_NFT_CT"),
        ("fib", Level::Error, "CONFIG_NFT_FIB_INET"),
        ("log group", Level::Warning, "CONFIG_NFT_LOG"),
        ("ct label", Level::Warning, "--existing-connections keep"),
        ("fib oif", Level::Warning, "--source-guard off"),
        ("inverted", Level::Warning, "--pod-start open"),
    ];
    for (words, level, option) in rows {
        let findings = judge(&[(find(words), refusal())]);
        let [finding] = findings.as_slice() else {
            panic!("{findings:?}")
        };
        assert_eq!(finding.level, level, "{finding}");
        assert!(finding.to_string().contains(option), "{finding}");
    }
    let busy = NetlinkError::NoAnswer { is_unchanged: true };
    let findings = judge(&[(find("fib"), busy)]);
    assert!(!findings[0].to_string().contains("CONFIG_"), "{findings:?}");
    assert_eq!(judge(&[])[0].level, Level::Ok);
}
