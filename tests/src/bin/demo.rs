//! `make demo`: a shop on two nodes, real agents, real packets, no cluster.

use std::error::Error;
use std::io::IsTerminal;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use netpol_tests::fixture::{self, Fixture};
use netpol_tests::lab::matrix::{Column, Matrix};
use netpol_tests::lab::{
    Agent, Lab, LabError, NODES, Place, Probe, Topology, Transport, netpol_binary,
};

const OBEYED_WITHIN: Duration = Duration::from_secs(10);

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            match error.downcast_ref() {
                Some(LabError::Privilege) => eprintln!(
                    "The demo builds a small network out of network namespaces, which only root may do: sudo make demo"
                ),
                _ => eprintln!("The demo failed: {error}"),
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome {
    let start = Instant::now();
    let shop = load()?;
    let mut lab = Lab::build(Topology::Bridge, shop.lab())?;
    let folder = lab.directory().join("manifests");
    let policies = write_manifests(&shop.directory.join("manifests.yaml"), &folder)?;

    println!(
        "A web shop on two nodes: pods on a bridge each, IPv4 and IPv6, in network namespaces of this machine."
    );
    println!("Each cell below is one TCP connection: ✓ answered, ✗ not, · to itself.");
    title(1, "Nothing enforces the policies");
    let before = measure(&mut lab)?;
    print!("{before}");

    title(
        2,
        "A netpol agent on each node, watching a folder of manifests",
    );
    for policy in &policies {
        println!("  {}", relative(policy));
    }
    lab.start_agents(&folder)?;
    let enforced = measure(&mut lab)?;
    print!(
        "\n  What they changed is in brackets:\n\n{}",
        enforced.compared_with(&before)
    );

    title(3, "What the kernel of node-b does for shop/db");
    println!("  # nft list chain inet netpol pod/shop/db/ingress");
    print_indented(&chain(&lab, "pod/shop/db/ingress")?);

    title(4, "Why the web tier cannot reach the database");
    explain(&folder, "shop/web", "shop/db", "tcp/5432")?;

    title(
        5,
        "What the agents tell of everything that was dropped just now",
    );
    summary(&lab)?;

    title(6, "Somebody edits a policy: metrics are for grafana now");
    let edited = edit(&policies)?;
    println!("  {}: app: prometheus → app: grafana", relative(&edited));
    let since = Instant::now();
    await_change(&mut lab)?;
    println!(
        "  obeyed on both nodes {} ms later; what changed is in brackets:\n",
        since.elapsed().as_millis()
    );
    println!("{}", measure(&mut lab)?.compared_with(&enforced));

    drop(lab);
    println!(
        "Everything is removed again. {:.1} s in all.",
        start.elapsed().as_secs_f32()
    );
    Ok(())
}

fn load() -> Outcome<Fixture> {
    Fixture::load(&fixture::root().join("shop")).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        errors.join("\n").into()
    })
}

/// Copies the manifests into a folder that may be edited, with a file for each policy. Returns those.
fn write_manifests(manifests: &Path, folder: &Path) -> Outcome<Vec<PathBuf>> {
    std::fs::create_dir(folder)?;
    let text = std::fs::read_to_string(manifests)?;
    let (policies, others): (Vec<&str>, Vec<&str>) = text
        .split("\n---\n")
        .partition(|document| document.contains("kind: NetworkPolicy"));
    std::fs::write(folder.join("cluster.yaml"), others.join("\n---\n"))?;
    let mut files = Vec::new();
    for policy in policies {
        let name = policy
            .split_once("name: ")
            .and_then(|(_, rest)| rest.split([',', ' ', '\n']).next());
        let file = folder.join(format!(
            "policy-{}.yaml",
            name.ok_or("a policy without a name")?
        ));
        std::fs::write(&file, format!("{policy}\n"))?;
        files.push(file);
    }
    Ok(files)
}

fn measure(lab: &mut Lab) -> Outcome<Matrix> {
    const TO: [(&str, u16); 6] = [
        ("shop/web", 8080),
        ("shop/web", 9100),
        ("shop/api", 9090),
        ("shop/db", 5432),
        ("shop/db", 9187),
        ("outside", 443),
    ];
    let sources: Vec<Place> = [Place::Outside]
        .into_iter()
        .chain(
            [
                "shop/web",
                "shop/api",
                "shop/db",
                "monitoring/prometheus",
                "monitoring/grafana",
            ]
            .map(Place::pod),
        )
        .chain([Place::node("node-b")])
        .collect();
    let mut families = Vec::new();
    for ipv4 in [true, false] {
        let mut columns = Vec::new();
        for (name, port) in TO {
            let place = if name == "outside" {
                Place::Outside
            } else {
                Place::pod(name)
            };
            let to: IpAddr = lab
                .host(&place)?
                .address(ipv4)
                .ok_or("a pod without this family")?;
            columns.push(Column {
                title: format!("{name} {port}"),
                to,
                transport: Transport::Tcp(port),
            });
        }
        families.push(Matrix::measure(lab, &sources, &columns)?);
    }
    match families.as_slice() {
        [v4, v6] if v4 == v6 => Ok(v4.clone()),
        [v4, v6] => Err(format!("IPv4 and IPv6 differ:\n{v4}\n{}", v6.compared_with(v4)).into()),
        _ => Err("two families were measured".into()),
    }
}

/// Tries what has just been allowed until it works on both nodes.
fn await_change(lab: &mut Lab) -> Outcome {
    let deadline = Instant::now() + OBEYED_WITHIN;
    let grafana = Place::pod("monitoring/grafana");
    let mut probes = Vec::new();
    for (pod, port) in [("shop/web", 9100), ("shop/db", 9187)] {
        let to = lab
            .host(&Place::pod(pod))?
            .address(true)
            .ok_or("a pod without IPv4")?;
        probes.push(
            Probe::new(&grafana, to, Transport::Tcp(port)).patience(Duration::from_millis(20)),
        );
    }
    while Instant::now() < deadline {
        if lab.probe(&probes)?.iter().all(|outcome| outcome.answered) {
            return Ok(());
        }
    }
    Err("the edited policy was not obeyed".into())
}

fn edit(policies: &[PathBuf]) -> Outcome<PathBuf> {
    let file = policies
        .iter()
        .find(|path| path.ends_with("policy-metrics.yaml"))
        .ok_or("no policy for metrics")?;
    let text = std::fs::read_to_string(file)?;
    let edited = text.replace("app: prometheus", "app: grafana");
    if edited == text {
        return Err("the policy for metrics does not mention prometheus".into());
    }
    std::fs::write(file, edited)?;
    Ok(file.clone())
}

fn chain(lab: &Lab, name: &str) -> Outcome<String> {
    let netns = lab.host(&Place::node("node-b"))?.netns();
    Ok(netns.run(&["nft", "list", "chain", "inet", "netpol", name], "")?)
}

/// The dry-run half of the same binary: it reads the same folder and touches nothing.
fn explain(folder: &Path, from: &str, to: &str, port: &str) -> Outcome {
    println!("  $ netpol explain -f manifests --from {from} --to {to} --port {port}");
    let output = Command::new(netpol_binary()?)
        .args(["explain", "-f"])
        .arg(folder)
        .args(["--from", from, "--to", to, "--port", port])
        .output()?;
    print_indented(&String::from_utf8_lossy(&output.stdout));
    if output.stdout.is_empty() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(())
}

/// The flow logs of both nodes, by the same binary.
fn summary(lab: &Lab) -> Outcome {
    println!("  $ netpol flows -o summary --top 4 node-a.flows node-b.flows");
    let files = NODES
        .iter()
        .filter_map(|node| lab.agent(node.name).map(Agent::flow_file));
    let output = Command::new(netpol_binary()?)
        .args(["flows", "-o", "summary", "--top", "4"])
        .args(files)
        .output()?;
    print_indented(&String::from_utf8_lossy(&output.stdout));
    if output.stdout.is_empty() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(())
}

fn title(number: u8, text: &str) {
    let (bold, plain) = if std::io::stdout().is_terminal() {
        ("\x1b[1m", "\x1b[0m")
    } else {
        ("", "")
    };
    println!("\n{bold}{number}. {text}{plain}\n");
}

fn print_indented(text: &str) {
    for line in text.lines() {
        println!("  {}", line.replace('\t', "    "));
    }
}

fn relative(path: &Path) -> String {
    format!(
        "manifests/{}",
        path.file_name().unwrap_or_default().to_string_lossy()
    )
}
