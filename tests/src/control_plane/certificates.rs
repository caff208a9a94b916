//! A certificate authority for one control plane, and who it vouches for.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use serde_json::json;

use super::{ControlPlaneError, Options};

/// Makes certificates and kubeconfig files in a folder.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
    server: SocketAddr,
    /// Numbers the users' files.
    users: Cell<u32>,
}

impl Authority {
    /// Makes the authority, the API server's certificate, and the key that signs service account tokens.
    pub(super) fn new(folder: &Path, options: &Options) -> Result<Self, ControlPlaneError> {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "netpol-test-ca");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let authority = Self {
            issuer,
            folder: folder.to_owned(),
            server: options.address,
            users: Cell::new(0),
        };
        authority.write("ca.crt", &authority.issuer.pem())?;

        let mut names = vec![
            options.address.ip().to_string(),
            "127.0.0.1".to_owned(),
            "::1".to_owned(),
            "localhost".to_owned(),
            "kubernetes.default.svc".to_owned(),
        ];
        names.extend(options.names.iter().cloned());
        authority.serving("server", "kube-apiserver", names)?;
        if options.runs_pods {
            // For logs of pods, and commands in them.
            authority.issue("kubelets", &client("kube-apiserver", &["system:masters"]))?;
        }

        let accounts = KeyPair::generate()?;
        authority.write("accounts.key", &accounts.serialize_pem())?;
        authority.write("accounts.pub", &accounts.public_key_pem())?;
        Ok(authority)
    }

    /// Writes the kubeconfig file of a user who authenticates with a client certificate.
    pub(super) fn kubeconfig(
        &self,
        user: &str,
        groups: &[&str],
    ) -> Result<PathBuf, ControlPlaneError> {
        self.users.set(self.users.get() + 1);
        let stem = format!("user-{}", self.users.get());
        self.issue(&stem, &client(user, groups))?;
        let file = |name: String| self.folder.join(name).display().to_string();
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{
                "name": "test",
                "cluster": {
                    "server": format!("https://{}", self.server),
                    "certificate-authority": file("ca.crt".to_owned()),
                },
            }],
            "users": [{
                "name": "test",
                "user": {
                    "client-certificate": file(format!("{stem}.crt")),
                    "client-key": file(format!("{stem}.key")),
                },
            }],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        });
        let name = format!("{stem}.kubeconfig");
        self.write(&name, &config.to_string())?;
        Ok(self.folder.join(name))
    }

    /// Writes `stem.crt` and `stem.key` of a server with these names and addresses.
    pub(super) fn serving(
        &self,
        stem: &str,
        server: &str,
        names: Vec<String>,
    ) -> Result<(), ControlPlaneError> {
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, server);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(stem, &params)
    }

    /// Writes `stem.crt` and `stem.key`.
    fn issue(&self, stem: &str, params: &CertificateParams) -> Result<(), ControlPlaneError> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        self.write(&format!("{stem}.crt"), &certificate.pem())?;
        self.write(&format!("{stem}.key"), &key.serialize_pem())
    }

    fn write(&self, name: &str, text: &str) -> Result<(), ControlPlaneError> {
        let path = self.folder.join(name);
        std::fs::write(&path, text)
            .map_err(ControlPlaneError::io(format!("write {}", path.display())))
    }
}

/// The certificate of a user in at most one group: a name holds one value of a type here, and more is not needed so far.
fn client(user: &str, groups: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, user);
    if let Some(group) = groups.first() {
        subject.push(DnType::OrganizationName, *group);
    }
    params.distinguished_name = subject;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}
