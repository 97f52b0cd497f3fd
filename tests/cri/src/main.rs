// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The calls by which the kubelet has a runtime run, checkpoint and restore a container.
//!
//!     cri SOCKET pull IMAGE
//!     cri SOCKET pod NAME                                   print the id of a new pod's sandbox
//!     cri SOCKET netns POD                                  print the path of its network namespace
//!     cri SOCKET create POD NAME ATTEMPT IMAGE VOLUME WORD…  print the id of a new container; IMAGE may be an archive of a checkpoint
//!     cri SOCKET start|stop|remove CONTAINER
//!     cri SOCKET checkpoint CONTAINER ARCHIVE

use std::error::Error;

use k8s_cri::v1::image_service_client::ImageServiceClient;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use k8s_cri::v1::{
    CheckpointContainerRequest, ContainerConfig, ContainerMetadata, CreateContainerRequest, ImageSpec,
    LinuxContainerConfig, LinuxContainerSecurityContext, LinuxPodSandboxConfig, LinuxSandboxSecurityContext, Mount,
    NamespaceMode, NamespaceOption, PodSandboxConfig, PodSandboxMetadata, PodSandboxStatusRequest, PullImageRequest,
    RemoveContainerRequest, RunPodSandboxRequest, StartContainerRequest, StopContainerRequest,
};
use tonic::transport::{Channel, Endpoint, Uri};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// The namespace of all pods.
const NAMESPACE: &str = "default";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (socket, words) = words.split_first().ok_or("no socket")?;
    let channel = connect(socket).await?;
    let mut client = RuntimeServiceClient::new(channel.clone());
    match words {
        ["pull", image] => {
            let image = Some(ImageSpec { image: (*image).to_owned(), ..ImageSpec::default() });
            let request = PullImageRequest { image, ..PullImageRequest::default() };
            ImageServiceClient::new(channel).pull_image(request).await?;
        }
        ["pod", name] => {
            let request = RunPodSandboxRequest { config: Some(sandbox(name)), ..RunPodSandboxRequest::default() };
            println!("{}", client.run_pod_sandbox(request).await?.into_inner().pod_sandbox_id);
        }
        ["netns", pod] => {
            let request = PodSandboxStatusRequest { pod_sandbox_id: (*pod).to_owned(), verbose: true };
            let info = client.pod_sandbox_status(request).await?.into_inner().info;
            let info = info.get("info").ok_or("no information")?;
            println!("{}", namespace(info).ok_or("no network namespace")?);
        }
        ["create", pod, name, attempt, image, volume, command @ ..] => {
            let config = container(name, attempt.parse()?, image, volume, command);
            let request = CreateContainerRequest {
                pod_sandbox_id: (*pod).to_owned(),
                config: Some(config),
                sandbox_config: Some(sandbox("pod")),
            };
            println!("{}", client.create_container(request).await?.into_inner().container_id);
        }
        ["start", id] => {
            client.start_container(StartContainerRequest { container_id: (*id).to_owned() }).await?;
        }
        ["stop", id] => {
            client.stop_container(StopContainerRequest { container_id: (*id).to_owned(), timeout: 0 }).await?;
        }
        ["remove", id] => {
            client.remove_container(RemoveContainerRequest { container_id: (*id).to_owned() }).await?;
        }
        ["checkpoint", id, archive] => {
            let (container_id, location) = ((*id).to_owned(), (*archive).to_owned());
            client.checkpoint_container(CheckpointContainerRequest { container_id, location, timeout: 60 }).await?;
        }
        _ => return Err(format!("no such call: {words:?}").into()),
    }
    Ok(())
}

async fn connect(socket: &str) -> Outcome<Channel> {
    let socket = socket.to_owned();
    let connector = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { tokio::net::UnixStream::connect(socket).await.map(hyper_util::rt::TokioIo::new) }
    });
    // The address is not used, but must be one.
    Ok(Endpoint::from_static("http://localhost").connect_with_connector(connector).await?)
}

/// As in a pod: a network and IPC of the pod's, processes of the container's own.
fn namespaces() -> NamespaceOption {
    NamespaceOption {
        network: NamespaceMode::Pod.into(),
        pid: NamespaceMode::Container.into(),
        ipc: NamespaceMode::Pod.into(),
        ..NamespaceOption::default()
    }
}

fn sandbox(name: &str) -> PodSandboxConfig {
    let security = LinuxSandboxSecurityContext { namespace_options: Some(namespaces()), ..Default::default() };
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: name.to_owned(),
            uid: format!("{name}-uid"),
            namespace: NAMESPACE.to_owned(),
            attempt: 0,
        }),
        hostname: name.to_owned(),
        log_directory: format!("/var/log/pods/{name}"),
        linux: Some(LinuxPodSandboxConfig { security_context: Some(security), ..Default::default() }),
        ..PodSandboxConfig::default()
    }
}

fn container(name: &str, attempt: u32, image: &str, volume: &str, command: &[&str]) -> ContainerConfig {
    let security = LinuxContainerSecurityContext { namespace_options: Some(namespaces()), ..Default::default() };
    let labels = [("container.name", name), ("pod.name", "pod"), ("pod.namespace", NAMESPACE)];
    let mount = |host: &str, inside: &str| Mount {
        host_path: host.to_owned(),
        container_path: inside.to_owned(),
        ..Mount::default()
    };
    ContainerConfig {
        metadata: Some(ContainerMetadata { name: name.to_owned(), attempt }),
        image: Some(ImageSpec {
            image: image.to_owned(),
            user_specified_image: image.to_owned(),
            ..ImageSpec::default()
        }),
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        mounts: vec![mount(volume, "/data")],
        log_path: format!("{name}.log"),
        labels: labels.into_iter().map(|(key, value)| (format!("io.kubernetes.{key}"), value.to_owned())).collect(),
        linux: Some(LinuxContainerConfig { security_context: Some(security), ..Default::default() }),
        ..ContainerConfig::default()
    }
}

/// The path of the network namespace in what containerd tells of a sandbox, a JSON document.
fn namespace(info: &str) -> Option<&str> {
    let (_, rest) = info.split_once("\"type\":\"network\",\"path\":\"")?;
    Some(rest.split_once('"')?.0)
}
