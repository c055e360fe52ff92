//! Which model, where it computes, and within what memory.

use batchscope_nn::{DeviceSpec, ModelSpec};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::values::Bytes;

use super::text;

/// The model.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    /// Model with its settings: softmax, mlp(512,512), f1, f2, lenet(dropout=0.2), c1, c2, c3, c4, alexnet, vgg16, mobilenetv2(width=0.5), resnet20(ghost=32), resnet34, drn-d-22 (classes or masks), lstm(width=200,tied), row-lstm(width=128); all take smoothing=S [default: mlp(128)]
    #[arg(long, value_name = "MODEL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelSpec>,
}

/// Where and how one training step is computed.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[command(next_help_heading = "Running")]
pub struct ComputeArgs {
    /// Compute on cpu, cuda, cuda:1, ... [default: cpu]
    #[arg(long, value_name = "DEVICE", help_heading = "Model")]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceSpec>,
    /// Examples per forward pass at most; larger batches accumulate, exactly
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micro_batch: Option<u64>,
    /// Keep a training step within this much memory: 512M, 4G
    #[arg(long, value_name = "BYTES")]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub max_memory: Option<Bytes>,
    /// Replicas that make every step together: threads of this process; under mpirun its processes, without this flag
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1024))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranks: Option<u64>,
    /// Seed of every random stream [default: 0]
    #[arg(long, value_name = "SEED")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}
