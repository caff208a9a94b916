//! All objects, asked for once.

use kube::api::ListParams;
use kube::{Api, Client};
use policy_compiler::model::Snapshot;

use super::client::{ClientError, describe};
use super::object::{Object, Watched};

/// Lists the three kinds once. Objects with errors are in the snapshot as far as they were understood; the second part
/// of the answer tells what is wrong with them.
pub async fn list(client: &Client) -> Result<(Snapshot, Vec<String>), ClientError> {
    let mut snapshot = Snapshot::default();
    let mut problems = Vec::new();
    list_kind(client, &mut problems, |namespace| {
        snapshot.add_namespace(namespace);
    })
    .await?;
    list_kind(client, &mut problems, |pod| snapshot.add_pod(pod)).await?;
    list_kind(client, &mut problems, |policy| snapshot.add_policy(policy)).await?;
    Ok((snapshot, problems))
}

async fn list_kind<T: Watched>(
    client: &Client,
    problems: &mut Vec<String>,
    mut add: impl FnMut(T),
) -> Result<(), ClientError>
where
    Object<T>: kube::Resource<DynamicType = ()>,
{
    let api: Api<Object<T>> = Api::all(client.clone());
    let mut params = ListParams::default().limit(500);
    loop {
        let page = api.list(&params).await.map_err(|error| ClientError::List {
            kind: T::KIND,
            problem: describe(T::KIND, &error),
        })?;
        for object in page.items {
            let name = format!(
                "{} {}",
                T::KIND.name().to_lowercase(),
                object.display_name()
            );
            problems.extend(
                object
                    .decoded
                    .errors
                    .iter()
                    .map(|error| format!("{name}: {error}")),
            );
            object.decoded.object.into_iter().for_each(&mut add);
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(()),
        }
    }
}
