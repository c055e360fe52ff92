/// Which network. Sizes of input and output come from the data.
#[derive(Debug, Clone, PartialEq)]
pub enum Architecture {
    /// Softmax regression: one linear layer.
    Softmax,
    /// Multi-layer perceptron with ReLU.
    Mlp {
        /// Width of each hidden layer, 1 to 64 of them.
        widths: Vec<usize>,
        /// Batch norm before each ReLU.
        norm: bool,
    },
    /// Keskar et al. 2016, F1: five hidden layers of 512, each with batch norm and ReLU.
    F1,
    /// Keskar et al. 2016, F2: seven hidden layers of 512, each with batch norm and ReLU, for windows
    /// of 360 numbers of speech.
    F2,
    /// Two 5 × 5 convolutions (16, 32 channels) with ReLU and 2 × 2 max-pooling, then 128 hidden.
    Lenet,
    /// Keskar et al. 2016, C1: a shallow AlexNet with batch norm and dropout.
    C1,
    /// Keskar et al. 2016, C2: VGG-16's convolutions with batch norm and dropout.
    C2,
    /// Keskar et al. 2016, C3: C1 on the hundred classes of CIFAR-100.
    C3,
    /// Keskar et al. 2016, C4: C2 on the hundred classes of CIFAR-100.
    C4,
    /// Krizhevsky 2014 for 32 × 32 images: five convolutions and one linear layer.
    Alexnet,
    /// Simonyan and Zisserman 2015, 16 layers.
    Vgg16 {
        /// As they made it, with hidden layers of 4096; else for 32 × 32 images, with batch norm.
        imagenet: bool,
    },
    /// Sandler et al. 2018.
    MobilenetV2 {
        /// Multiplier of all numbers of channels, 0.05 to 8.
        width: f64,
        /// With the strides for ImageNet; else for 32 × 32 images.
        imagenet: bool,
    },
    /// He et al. 2016 for 32 × 32 images: 3 stages of 3 blocks, 16 to 64 channels.
    Resnet20,
    /// He et al. 2016, 34 layers, with the stem for small images: 64 to 512 channels.
    Resnet34,
    /// Yu, Koltun and Funkhouser 2017: dilated residual network, of images or of their pixels.
    DrnD22,
    /// LSTM language model.
    Lstm {
        /// Recurrent layers, 1 to 8.
        layers: usize,
        /// Width of the embedding and of every recurrent layer.
        width: usize,
        /// Use the embedding as the output matrix too (Press and Wolf 2017).
        tied: bool,
    },
    /// You et al. 2019: an LSTM that reads an image row by row.
    RowLstm {
        /// Width of the recurrent layer.
        width: usize,
    },
}

impl Architecture {
    /// Every architecture with its default settings.
    fn all() -> [Self; 17] {
        [
            Architecture::Softmax,
            Architecture::Mlp {
                widths: vec![512, 512],
                norm: false,
            },
            Architecture::F1,
            Architecture::F2,
            Architecture::Lenet,
            Architecture::C1,
            Architecture::C2,
            Architecture::C3,
            Architecture::C4,
            Architecture::Alexnet,
            Architecture::Vgg16 { imagenet: false },
            Architecture::MobilenetV2 {
                width: 1.0,
                imagenet: false,
            },
            Architecture::Resnet20,
            Architecture::Resnet34,
            Architecture::DrnD22,
            Architecture::Lstm {
                layers: 2,
                width: 200,
                tied: false,
            },
            Architecture::RowLstm { width: 128 },
        ]
    }

    /// The model's name without settings.
    pub fn name(&self) -> &'static str {
        match self {
            Architecture::Softmax => "softmax",
            Architecture::Mlp { .. } => "mlp",
            Architecture::F1 => "f1",
            Architecture::F2 => "f2",
            Architecture::Lenet => "lenet",
            Architecture::C1 => "c1",
            Architecture::C2 => "c2",
            Architecture::C3 => "c3",
            Architecture::C4 => "c4",
            Architecture::Alexnet => "alexnet",
            Architecture::Vgg16 { .. } => "vgg16",
            Architecture::MobilenetV2 { .. } => "mobilenetv2",
            Architecture::Resnet20 => "resnet20",
            Architecture::Resnet34 => "resnet34",
            Architecture::DrnD22 => "drn-d-22",
            Architecture::Lstm { .. } => "lstm",
            Architecture::RowLstm { .. } => "row-lstm",
        }
    }

    /// The architecture of this name with its default settings.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|model| model.name() == name)
    }

    /// All names, for a reader: `softmax, mlp, … or lstm`.
    pub(crate) fn names() -> String {
        let all = Self::all().map(|model| model.name());
        let (last, others) = all.split_last().expect("there are models");
        format!("{} or {last}", others.join(", "))
    }

    /// Has batch norm.
    pub(crate) fn has_norm(&self) -> bool {
        match self {
            Architecture::Mlp { norm, .. } => *norm,
            Architecture::Vgg16 { imagenet } => !imagenet,
            Architecture::F1
            | Architecture::F2
            | Architecture::C1
            | Architecture::C2
            | Architecture::C3
            | Architecture::C4
            | Architecture::MobilenetV2 { .. }
            | Architecture::Resnet20
            | Architecture::Resnet34
            | Architecture::DrnD22 => true,
            Architecture::Softmax
            | Architecture::Lenet
            | Architecture::Alexnet
            | Architecture::Lstm { .. }
            | Architecture::RowLstm { .. } => false,
        }
    }

    /// Computes without rectifiers and maxima, so that the gradient of its loss is continuous.
    pub(crate) fn is_smooth(&self) -> bool {
        matches!(
            self,
            Architecture::Softmax | Architecture::Lstm { .. } | Architecture::RowLstm { .. }
        )
    }

    /// Has somewhere to drop numbers.
    pub(crate) fn has_dropout(&self) -> bool {
        !matches!(
            self,
            Architecture::Softmax
                | Architecture::F1
                | Architecture::F2
                | Architecture::Alexnet
                | Architecture::Resnet20
                | Architecture::Resnet34
                | Architecture::DrnD22
        )
    }

    /// Probability of dropping a number unless the model says otherwise.
    pub(crate) fn default_dropout(&self) -> f64 {
        match self {
            Architecture::C1
            | Architecture::C2
            | Architecture::C3
            | Architecture::C4
            | Architecture::Vgg16 { imagenet: true } => 0.5,
            Architecture::MobilenetV2 { imagenet: true, .. } => 0.2,
            _ => 0.0,
        }
    }

    /// Whether it is the form for ImageNet, where there are two.
    pub(crate) fn imagenet_mut(&mut self) -> Option<&mut bool> {
        match self {
            Architecture::Vgg16 { imagenet } | Architecture::MobilenetV2 { imagenet, .. } => {
                Some(imagenet)
            }
            _ => None,
        }
    }

    /// The settings of its own that differ from the defaults, as they are written.
    pub(crate) fn items(&self) -> Vec<String> {
        let mut items = Vec::new();
        match self {
            Architecture::Mlp { widths, norm } => {
                items.extend(widths.iter().map(usize::to_string));
                items.extend(norm.then(|| "norm".to_owned()));
            }
            Architecture::Vgg16 { imagenet } => {
                items.extend(imagenet.then(|| "imagenet".to_owned()));
            }
            Architecture::Lstm {
                layers,
                width,
                tied,
            } => {
                items.extend((*layers != 2).then(|| format!("layers={layers}")));
                items.extend((*width != 200).then(|| format!("width={width}")));
                items.extend(tied.then(|| "tied".to_owned()));
            }
            Architecture::MobilenetV2 { width, imagenet } => {
                items.extend((*width != 1.0).then(|| format!("width={width}")));
                items.extend(imagenet.then(|| "imagenet".to_owned()));
            }
            Architecture::RowLstm { width } => {
                items.extend((*width != 128).then(|| format!("width={width}")));
            }
            _ => {}
        }
        items
    }

    /// The settings it takes, for a reader.
    pub(crate) fn takes(&self) -> String {
        let mut items = match self {
            Architecture::Mlp { .. } => vec!["hidden widths", "norm"],
            Architecture::Vgg16 { .. } => vec!["imagenet"],
            Architecture::MobilenetV2 { .. } => vec!["width=X", "imagenet"],
            Architecture::Lstm { .. } => vec!["layers=N", "width=N", "tied"],
            Architecture::RowLstm { .. } => vec!["width=N"],
            _ => vec![],
        };
        if self.has_dropout() {
            items.push("dropout=P");
        }
        if self.has_norm() {
            items.push("ghost=N");
        }
        items.push("smoothing=P");
        items.join(", ")
    }
}
