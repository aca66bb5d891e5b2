import "ionbus/electron-preload";
